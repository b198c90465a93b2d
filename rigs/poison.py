"""One event of a hundred is poison: it ends among the dead letters, and other keys do not feel it.

Two pairs hear the same notes at a steady pace, side by side so that both feel the same machine: a
clean one, and one with poison. All poison must be dead, with its cause; all else heard once and in
order; other keys' delays near those of the clean pair. Then the sink is mended and the dead letters
are replayed by command: the state must be as if nothing had been.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from borough.transports.http.client import HttpClient
from rigs.episodes import Episode, Fault, Rig
from rigs.pair.sink.service import is_poison
from rigs.pair.system import Note, Pair, any_port
from rigs.shop import ServerFailed
from shop.demo.places import Rows

PER_EPISODE = 20_000
PLANTED_MESSAGES = 2_000
NOTES_PER_KEY = 20
POISON_EACH = 100
PACE_PER_S = 120
WORKERS = 50
NOTE_S = 20.0
QUIET_S = 90.0
PLANTED_QUIET_S = 20.0
SLOWER = 2.0
HANDLERS = ("sink.hear", "sink.tell")
OPTIONS = {
    "BOROUGH_SINK_THINK_S": "0.001",
    "BOROUGH_EVENTS_ATTEMPTS": "5",
    "BOROUGH_EVENTS_RETRY_FIRST_S": "0.5",
    "BOROUGH_EVENTS_RETRY_LAST_S": "2.0",
}


class Trial:
    """One run of the pair over a number of notes."""

    def __init__(self, folder: Path, messages: int, poison_each: int, planted: str | None) -> None:
        folder.mkdir()
        self._keys = [f"writer-{number}" for number in range(messages // NOTES_PER_KEY)]
        self._each = poison_each
        options = OPTIONS | {"BOROUGH_SINK_POISON_EACH": str(poison_each)}
        self._pair = Pair(folder, 6.0, options)
        self._quiet_s = QUIET_S if planted is None else PLANTED_QUIET_S
        self._port = any_port()
        self._launcher = ("-m", "borough") if planted is None else ("-m", "rigs.planted", planted)
        self._client = HttpClient()
        notes = [(key, number) for number in range(1, NOTES_PER_KEY + 1) for key in self._keys]
        self.notes = set(notes)
        self.poison = {note for note in notes if is_poison(*note, poison_each)}

    async def start(self) -> None:
        """Start the pair."""
        server = await self._pair.start(self._port, self._launcher)
        self._pair.servers.append(server)
        await server.until_ready()

    async def publish(self) -> None:
        """Have every note kept, those of a key one after the other, at the pace."""
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def work(keys: Sequence[str], worker: int) -> None:
            count = 0
            for number in range(1, NOTES_PER_KEY + 1):
                for key in keys:
                    due = began + (count * WORKERS + worker) / PACE_PER_S
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    await self._keep(key, number)
                    count += 1

        async with asyncio.TaskGroup() as group:
            for worker in range(WORKERS):
                group.create_task(work(self._keys[worker::WORKERS], worker))

    async def _keep(self, writer: str, number: int) -> None:
        body = msgspec.json.encode({"writer": writer, "number": number})
        headers = [(b"content-type", b"application/json")]
        deadline = asyncio.get_running_loop().time() + NOTE_S
        origin = ("127.0.0.1", self._port)
        response = await self._client.send(origin, "POST", "/source/notes", headers, body, deadline)
        if response.status != 201:
            raise ServerFailed(f"a note was answered {response.status}: {response.body[:200]!r}")

    async def until_rest(self, dead: int) -> list[str]:
        """Wait until everything is heard or dead, so many for each handler; returns what is not."""
        ends = asyncio.get_running_loop().time() + self._quiet_s
        while unfinished := self._unfinished(dead):
            if asyncio.get_running_loop().time() > ends:
                return unfinished
            await asyncio.sleep(0.1)
        return []

    def _unfinished(self, dead: int) -> list[str]:
        found = self._pair.unfinished()
        with Rows(self._pair.data / "sink.db") as rows:
            if parked := rows("select count(*) from borough_parked")[0][0]:
                found.append(f"{parked} events are parked")
            buried = rows("select count(*) from borough_dead")[0][0]
            heard = rows("select count(distinct writer || ' ' || number) from heard")[0][0]
        if buried > len(HANDLERS) * dead:
            found.append(f"{buried} events are dead")
        if buried < len(HANDLERS) * dead and heard < len(self.notes):
            found.append(f"lost: {buried} of {len(HANDLERS) * dead} dead letters are there")
        return found

    def buried(self) -> Iterator[str]:
        """What is wrong with the dead letters, in words."""
        with Rows(self._pair.data / "sink.db") as rows:
            letters = rows(
                "select handler, body, error, cause, frame, fingerprint from borough_dead"
            )
        found: dict[str, set[Note]] = {handler: set() for handler in HANDLERS}
        for handler, body, error, cause, frame, fingerprint in letters:
            data = msgspec.json.decode(body)["data"]
            note = data["writer"], data["number"]
            found[handler].add(note)
            says = f"note {note[1]} of {note[0]} is poison"
            if "Poisoned" not in error or says not in cause or "_swallow" not in frame:
                yield f"cause: the dead letter of {note} says {error} {cause} {frame}"
            if not fingerprint:
                yield f"cause: the dead letter of {note} has no fingerprint"
        for handler, notes in found.items():
            for note in sorted(self.poison - notes):
                yield f"lost: poison {note} is no dead letter of {handler}"
            for note in sorted(notes - self.poison):
                yield f"lost: {note} is a dead letter of {handler} and no poison"

    async def replay(self) -> list[str]:
        """Mend the sink and replay all by command."""
        self._pair.ledger.with_name(f"{self._pair.ledger.name}.cure").touch()
        for handler in HANDLERS:
            status, said = await self._pair.ask("events", "replay", handler)
            if status != 0:
                return [f"replay: the command ended with status {status}: {said[-300:]}"]
        return [f"replay: {what}" for what in await self.until_rest(0)]

    def state(self) -> Iterator[str]:
        """What is wrong with what was heard, in words; poison may have come late."""
        with Rows(self._pair.data / "sink.db") as rows:
            left = rows("select count(*) from borough_dead")[0][0]
        if left:
            yield f"replay: {left} dead letters are left"
        for breach in self._pair.breaches(sorted(self.notes)):
            is_late_poison = any(
                breach.startswith(f"disorder: note {number} of {writer} ")
                for writer, number in self.poison
            )
            if not is_late_poison:
                yield breach

    def p99_ms(self, but: set[str]) -> float:
        """The delay that 99 % of the notes of other keys stay below."""
        with Rows(self._pair.data / "sink.db") as rows:
            delays = sorted(s for w, s in rows("select writer, delay_s from heard") if w not in but)
        return round(float(delays[int(len(delays) * 0.99)]) * 1000, 1)

    async def close(self) -> None:
        """End everything."""
        await self._client.close()
        await self._pair.close()


async def play(folder: Path, seed: int, messages: int, planted: str | None) -> Episode:
    """One episode."""
    clean = Trial(folder / "clean", messages, 0, None)
    spoilt = Trial(folder / "spoilt", messages, POISON_EACH, planted)
    keys = {writer for writer, _ in spoilt.poison}
    wrong: list[str] = []
    facts: dict[str, Any] = {"messages": messages, "poison": len(spoilt.poison)}
    try:
        await asyncio.gather(clean.start(), spoilt.start())
        await asyncio.gather(clean.publish(), spoilt.publish())
        wrong += [f"stuck: clean: {what}" for what in await clean.until_rest(0)]
        wrong += [f"stuck: {what}" for what in await spoilt.until_rest(len(spoilt.poison))]
        clean_ms, spoilt_ms = clean.p99_ms(keys), spoilt.p99_ms(keys)
        facts |= {"clean_p99_ms": clean_ms, "other_keys_p99_ms": spoilt_ms}
        if spoilt_ms > SLOWER * clean_ms:
            wrong.append(f"slow: p99 of other keys is {spoilt_ms} ms, clean {clean_ms} ms")
        wrong += spoilt.buried()
        wrong += await spoilt.replay()
        wrong += spoilt.state()
    except ServerFailed as error:
        wrong.append(f"stuck: {error}")
    finally:
        await clean.close()
        await spoilt.close()
    return Episode(seed, wrong, facts)


def try_seed(folder: Path, seed: int, messages: int, planted: str | None = None) -> Episode:
    """One episode, with so many messages, in a folder that is there."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(play(folder, seed, messages, planted))


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One pair of runs for each seed; a bad one leaves its folder."""
    for seed in seeds:
        folder = Path(tempfile.mkdtemp(prefix="borough-poison-"))
        messages = PLANTED_MESSAGES if planted is not None else options.messages
        episode = try_seed(folder, seed, messages, planted)
        if episode.wrong and planted is None:
            print(f"poison: everything is kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        yield episode


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--messages", type=int, default=PER_EPISODE, help=f"in one episode ({PER_EPISODE})"
    )


PLANTED = {"letters": Fault(1, "lost: "), "slow-parking": Fault(1, "slow: ")}
RIG = Rig("messages", run, PLANTED, per_episode=PER_EPISODE, add_arguments=_add_arguments)
