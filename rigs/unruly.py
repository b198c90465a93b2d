"""A broker that keeps no order and tells everything several times, and a process that lives with it.

It wraps the embedded broker: each event is delivered one to five times, each time up to a window of
deliveries, but not much more than a second, too late. It keeps receipts, as brokers with queues do:
what was not handed back by `done` is delivered again after a crash. `python -m rigs.unruly TASK` runs
the pair on it; TASK is JSON.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import os
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import uvloop

from borough.brokers.embedded import EmbeddedBroker
from borough.contracts.retention import Retention
from borough.ports import Broker, Delivery, Message, Subscription, TopicFacts, Trimmed
from borough.runtime.configuration import Configuration
from borough.runtime.host import Host
from borough.runtime.system import System
from rigs.pair.sink.service import SinkService
from rigs.pair.source.contract import Note, Source
from rigs.pair.source.service import SourceService
from rigs.planted import FAULTS
from shop.demo.places import Rows

MOST_COPIES = 5
WINDOW = 1000
IDLE_S = 0.01
LATEST_S = 1.0
READ_AT_ONCE = 500
COPY_BITS = 3
WRITERS = 100


class Unruly:
    """A broker without order. Receipts stand in `folder`, so that they outlive a kill."""

    keeps_positions = True
    keeps_order = False
    keeps_history = True
    tells_types_apart = True

    def __init__(self, inner: Broker, folder: Path, chance: random.Random) -> None:
        self._inner = inner
        self._folder = folder
        self._chance = chance
        folder.mkdir(exist_ok=True)

    async def open(self) -> None:
        await self._inner.open()

    async def claim(self, services: Iterable[str]) -> None:
        """Nothing: nobody else is here."""

    async def publish(self, messages: Sequence[Message]) -> None:
        await self._inner.publish(messages)

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """Nothing: every reading begins at the start."""

    async def waiting(self, group: str, topic: str) -> int:
        """It cannot say how much is still on its way."""
        return 0

    async def origin(self, topic: str) -> str:
        return "unruly"

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """Nothing: the database has it."""

    async def end(self, topic: str) -> int:
        return await self._inner.end(topic)

    async def earliest(self, topic: str) -> int:
        return await self._inner.earliest(topic)

    async def facts(self, topic: str) -> TopicFacts:
        return await self._inner.facts(topic)

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        return await self._inner.trim(topic, retention, now_s)

    async def subscribe(self, group: str, topic: str, position: int) -> Subscription:
        """Read the topic from its start on; what has been handed back is left out."""
        inner = await self._inner.subscribe(group, topic, 0)
        chance = random.Random(self._chance.random())
        return _Tumbled(inner, self._folder / f"{group}-{topic}", chance)

    async def close(self) -> None:
        await self._inner.close()


class _Tumbled:
    """One reading: copies wait in a heap until their turn, which is up to a window too late."""

    def __init__(self, inner: Subscription, path: Path, chance: random.Random) -> None:
        self._inner = inner
        self._chance = chance
        self._receipts = path.with_name(f"{path.name}.receipts")
        self._delivered = path.with_name(f"{path.name}.delivered")
        done = self._receipts.read_text().splitlines() if self._receipts.exists() else []
        self._done = {int(receipt) for receipt in done if receipt.isdigit()}
        self._file = os.open(self._receipts, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._count = os.open(self._delivered, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._come = 0.0
        self._looked_s = asyncio.get_running_loop().time()
        self._heap: list[tuple[float, int, Delivery]] = []
        self._reading: asyncio.Task[Sequence[Delivery]] | None = None

    @property
    def position(self) -> int:
        return 0

    @property
    def missed(self) -> int:
        return self._inner.missed

    async def take(self, limit: int) -> Sequence[Delivery]:
        while True:
            found = self._due(limit)
            if found:
                os.write(self._count, f"{len(found)}\n".encode())
                return found
            await self._read_more()

    def _due(self, limit: int) -> list[Delivery]:
        """Whose turn has come: so many deliveries have come since, or so much time has passed."""
        now_s = asyncio.get_running_loop().time()
        self._come += (now_s - self._looked_s) * WINDOW / LATEST_S
        self._looked_s = now_s
        found: list[Delivery] = []
        while self._heap and len(found) < limit and self._heap[0][0] <= self._come:
            found.append(heapq.heappop(self._heap)[2])
        return found

    async def _read_more(self) -> None:
        """Let more come in, or a little time pass."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._inner.take(READ_AT_ONCE))
        await asyncio.wait([self._reading], timeout=IDLE_S if self._heap else None)
        if not self._reading.done():
            return
        reading, self._reading = self._reading, None
        for delivery in reading.result():
            # A copy needs a number of its own: that of its event, and which copy it is.
            for copy in range(self._chance.randint(1, MOST_COPIES)):
                self._come += 1
                receipt = (delivery.message.sequence << COPY_BITS) + copy
                if receipt not in self._done:
                    turn = self._come + self._chance.uniform(0, WINDOW)
                    tumbled = Delivery(delivery.message, receipt)
                    heapq.heappush(self._heap, (turn, receipt, tumbled))

    async def done(self, position: int) -> None:
        os.write(self._file, f"{position}\n".encode())

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._inner.close()
        os.close(self._file)
        os.close(self._count)


class Task(NamedTuple):
    """What a process is to do: have so many notes of each writer kept and heard, and end."""

    folder: str
    seed: int
    notes: int
    fault: str = ""


async def live(task: Task) -> None:
    """Publish what is not yet published, and wait until all of it has been heard."""
    folder = Path(task.folder)
    configuration = Configuration.load(
        folder / "no-system",
        {},
        {
            "services.sink.settings.ledger": str(folder / "ledger"),
            "services.sink.settings.think_s": 0.0,
            "events.lease_s": 0.3,
            "events.attempts": 1000,
            "events.retry_first_s": 0.5,
            "events.retry_last_s": 2.0,
        },
    )
    system = System([SourceService, SinkService], configuration=configuration)
    host = Host(system, data_folder=folder / "data")
    chance = random.Random(task.seed)
    host.broker = Unruly(
        EmbeddedBroker(folder / "data" / "events", host.clock), folder / "queues", chance
    )
    await host.start()
    try:
        with Rows(folder / "data" / "source.db") as rows:
            kept: dict[str, int] = dict(
                rows("select writer, max(number) from notes group by writer")
            )
        source = host.client(Source)

        async def write(writer: str) -> None:
            for number in range(kept.get(writer, 0) + 1, task.notes + 1):
                await source.keep(Note(writer=writer, number=number))

        async with asyncio.TaskGroup() as group:
            for number in range(WRITERS):
                group.create_task(write(f"writer-{number}"))
        await _until_heard(folder / "data" / "sink.db", WRITERS * task.notes)
    finally:
        await host.stop()


async def _until_heard(path: Path, count: int) -> None:
    """Wait until both handlers have everything, and further copies have had their time.

    A broker of queues cannot say how much is still on its way.
    """
    with Rows(path) as rows:
        while rows("select count(*) from borough_inbox")[0][0] < 2 * count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.sleep(LATEST_S)


if __name__ == "__main__":
    _task = Task(**json.loads(sys.argv[1]))
    if _task.fault:
        FAULTS[_task.fault]()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live(_task))
