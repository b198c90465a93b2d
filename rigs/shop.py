"""The shop as rigs run it: with a witness, a card issuer, short leases, and every file in one folder.

The server is started again and again on the same folder; the issuer lives on. `breaches` compares
five databases and three ledgers as the demo does, and the witness with what customers were told.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rigs.episodes import ROOT
from rigs.forking import Forker, Life
from rigs.launching import launch, module_path
from shop.demo.evidence import Evidence, read_evidence
from shop.demo.places import SERVICES, Places, rows_of
from shop.demo.processes import Child, free_port
from shop.demo.rules import ONCE_PER_KEY, judge
from shop.demo.watch import Watch

READY_S = 30.0
STOP_S = 30.0
LOOK_S = 0.05
LEASE_S = 0.6
ISSUER_SILENCE_S = 1.5
MANY_LIVES = {
    "BOROUGH_EVENTS_ATTEMPTS": "1000",
    "BOROUGH_EVENTS_RETRY_FIRST_S": "0.5",
    "BOROUGH_EVENTS_RETRY_LAST_S": "2",
}
"""Attempts that a crash has ended count; an event must not be given up because the rig kills so often."""
PORTS = (20_000, 32_000)  # below what the kernel gives to outgoing connections
PLAIN = ("-m", "borough")
WITNESS = ("--set", "services.witness.module=rigs.witness.service")


class ServerFailed(Exception):
    """A server ended by itself, or did not get ready."""


class Server:
    """One life of a process that runs the shop, or a smaller system."""

    def __init__(self, process: asyncio.subprocess.Process | Life, log: Path) -> None:
        self._process = process
        self._log = log
        self.began_s = asyncio.get_running_loop().time()
        self.announced = b""
        """What it said when it was ready: a JSON document."""
        self.ready = asyncio.ensure_future(self._first_line())

    @classmethod
    async def begin(
        cls,
        system: Path,
        log: Path,
        environment: Mapping[str, str],
        arguments: Sequence[str] = (),
        launcher: Sequence[str] = ("-m", "borough"),
    ) -> Server:
        """Start a process that runs the system in this folder; it is not ready yet."""
        words = (*launcher, "run", str(system), "--json", *arguments)
        with log.open("ab") as errors:
            process = await launch(*words, environment=environment, errors=errors)
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        return self._process.returncode is not None

    async def _first_line(self) -> float:
        """How long it took to get ready, which it says in its first line."""
        assert self._process.stdout is not None
        self.announced = line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise ServerFailed(f"the server ended before it was ready: {self.last_words()}")
        return asyncio.get_running_loop().time() - self.began_s

    async def until_ready(self) -> float:
        """Wait until it is ready; returns how long that took. Raises `ServerFailed`."""
        try:
            async with asyncio.timeout(READY_S):
                return await asyncio.shield(self.ready)
        except TimeoutError:
            raise ServerFailed(
                f"the server is not ready after {READY_S:.0f} s: {self.last_words()}"
            ) from None

    def signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Kill it. Raises `ServerFailed` where it had ended by itself before."""
        self.signal(signal.SIGKILL)
        status = await self.ended()
        if status != -signal.SIGKILL:
            raise ServerFailed(f"the server ended with status {status}: {self.last_words()}")

    async def stop(self) -> None:
        """Ask it to stop. Raises `ServerFailed` where it does not end well."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                status = await self.ended()
        except TimeoutError:
            raise ServerFailed(f"the server does not stop within {STOP_S:.0f} s") from None
        if status != 0:
            raise ServerFailed(f"the server ended with status {status}: {self.last_words()}")

    async def discard(self) -> None:
        """End it, however it is."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait for its end; returns its status."""
        status = await self._process.wait()
        await asyncio.wait([self.ready])  # its output has ended, too
        self.ready.exception()
        return status

    def last_words(self) -> str:
        """The end of what it wrote into its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return " | ".join(text.splitlines()[-6:])


class RiggedShop:
    """One folder and all that runs on it. `launcher` are Python's arguments in place of `-m borough`.

    `arguments` are further ones of the command, `options` further variables of its environment. One that
    `forks` has each of its servers forked from a process that has imported the code.
    """

    def __init__(
        self,
        folder: Path,
        launcher: Sequence[str] = PLAIN,
        arguments: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        system: Path = ROOT / "examples" / "shop",
        *,
        forks: bool = False,
    ) -> None:
        self.places = Places(folder)
        self._system = system
        self.port = free_port(random.randrange(*PORTS))
        self.origin = ("127.0.0.1", self.port)
        self._launcher = launcher
        self._arguments = arguments
        self.log = folder / "server.log"
        self._server: Server | None = None
        self._forks = forks
        self._forker: Forker | None = None
        self.environment = dict(os.environ)
        self.environment["PYTHONPATH"] = module_path()
        self._issuer = Child(
            "issuer",
            ("-m", "shop.demo.issuer", "--port", "0", "--ledger", str(self.places.issuer),
             "--silence", str(ISSUER_SILENCE_S)),
            folder / "issuer.log",
            self.environment,
        )  # fmt: skip
        self.environment |= {
            "BOROUGH_EDGE_PORT": str(self.port),
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",  # all customers come from one address
            "BOROUGH_DATA_FOLDER": str(self.places.data),
            "BOROUGH_EVENTS_LEASE_S": str(LEASE_S),
            **MANY_LIVES,
            "BOROUGH_PAYMENTS_ISSUER_URL": f"http://127.0.0.1:{self._issuer_port()}",
            "BOROUGH_PAYMENTS_ANSWER_WITHIN_S": "0.8",
            "BOROUGH_PAYMENTS_ASK_AGAIN_AFTER_S": "1.5",
            "BOROUGH_PAYMENTS_GIVE_UP_AFTER_S": "3.0",
            "BOROUGH_ORDERS_LEFT_AFTER_S": "6.0",  # later than any checkout can still be running
            "BOROUGH_NOTIFICATIONS_MAILBOX": str(self.places.mailbox),
            **(options or {}),
        }

    def _issuer_port(self) -> int:
        lines: list[str] = []
        while not lines:
            self._issuer.check()
            lines = self._issuer.lines(READY_S)
        return int(json.loads(lines[0])["ready"])

    async def start_server(self, launcher: Sequence[str] | None = None) -> Server:
        """Start the server, once by another launcher if wished; it is not ready yet."""
        arguments = (*WITNESS, *self._arguments)
        launcher = launcher or self._launcher
        if self._forks:
            if self._forker is None:
                self._forker = Forker(self.environment)
            words = (*launcher[1:], "run", str(self._system), "--json", *arguments)
            with self.log.open("ab") as errors:
                self._server = Server(await self._forker.begin(words, errors), self.log)
        else:
            self._server = await Server.begin(
                self._system, self.log, self.environment, arguments, launcher
            )
        return self._server

    async def stop(self) -> None:
        """Ask the server to stop. Raises `ServerFailed` where it does not end well."""
        assert self._server is not None
        await self._server.stop()

    async def until_quiet(self, within_s: float) -> list[str]:
        """Wait until every order rests and every event is handled, as long as some are within that time.

        Returns what is not, in words.
        """
        return await asyncio.to_thread(_until_quiet, self.places, within_s)

    def breaches(self) -> list[str]:
        """Everything that is lost or doubled, in words. Ask once all is quiet."""
        evidence = read_evidence(self.places)
        return [*map(str, judge(evidence)), *_testimony(self.places, evidence)]

    async def close(self) -> None:
        """End what still runs."""
        if self._server is not None:
            await self._server.discard()
        if self._forker is not None:
            self._forker.close()
        self._issuer.kill()
        if self._issuer.process.stdout is not None:
            self._issuer.process.stdout.close()


def _until_quiet(places: Places, within_s: float) -> list[str]:
    """In a thread: a database of a server is asked by a loop of its own."""
    ends = time.monotonic() + within_s
    watch = Watch(places, (*SERVICES, "witness"))
    _, handled = watch.counts()
    try:
        while unfinished := watch.unfinished():
            if time.monotonic() > ends:
                before, (_, handled) = handled, watch.counts()
                if handled == before:
                    return unfinished
                ends = time.monotonic() + within_s
            time.sleep(LOOK_S)
        return []
    finally:
        watch.close()


def _testimony(places: Places, found: Evidence) -> Iterator[str]:
    """What the witness says against what customers and logs say."""
    with rows_of(places, "witness") as rows:
        notes = set(rows("select writer, number from notes"))
        heard = [tuple(row) for row in rows("select name, key, number from heard order by place")]
        left = rows("select count(*) from borough_outbox")[0][0]
    times = Counter(heard)
    for answer in found.answers:
        if answer.what == "note" and (answer.account_id, int(answer.key)) not in notes:
            yield f"lost: note {answer.key} of {answer.account_id} (it was acknowledged)"
    if left:
        yield f"lost: {left} events are left in the witness's outbox"
    expected = {("Noted", writer, number) for writer, number in notes}
    expected |= {(event.name, event.key, 0) for event in found.events if event.name in ONCE_PER_KEY}
    for fact in sorted(expected - set(times)):
        yield f"lost: {fact} was not heard by the witness"
    for fact in sorted(set(times) - expected):
        yield f"doubled: {fact} was heard by the witness and never happened"
    for fact, count in times.items():
        if count > 1:
            yield f"doubled: {fact} was heard {count} times by the witness"
    yield from _disorder(heard)


def _disorder(heard: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    """Events of one key that took effect in another order than they were published."""
    last: dict[str, int] = defaultdict(int)
    ended: set[str] = set()
    for name, key, number in heard:
        if name == "Noted":
            if number < last[key]:
                yield f"disorder: note {number} of {key} was heard after note {last[key]}"
            last[key] = number
        elif name == "OrderPlaced" and key in ended:
            yield f"disorder: order {key} was heard of as ended before it was placed"
        elif name in ("OrderPaid", "OrderCancelled"):
            ended.add(key)
