"""What a system promises on any store and any broker, as tests on a small one: the office.

`make_store` and `make_broker` are all that somebody with an adapter writes. Processes are killed in
earnest where a promise is about that: then the suite is sent to them, so its class must be importable.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from borough.errors import ServiceFailure
from borough.ports import Broker, Store
from borough.reliability.inbox import InboxTerms
from borough.reliability.outbox import RelayTerms
from borough.runtime.dead_letters import DeadLetters, Selection
from borough.runtime.generations import rebuild
from borough.testing.conformance.interference import Counting, Interrupted, forgetful, rewound
from borough.testing.conformance.killed import Child
from borough.testing.conformance.life import LEASE_S, Life, living
from borough.testing.conformance.office import HANDLERS, Note, Place
from borough.testing.conformance.suite import check, equal, raising

__all__ = ["PromiseConformance"]

_LOOK_S = 0.05
_WRITERS = ("ann", "bob", "cid", "dan")
_NOTES = 12
_START_S = 60.0


class PromiseConformance:
    """Subclass it as `Test...`, and say how stores and a broker are made."""

    lasts: bool = True
    """Whether both outlive their objects and are seen by other processes on the same folder."""

    patience_s: float = 60.0
    """How long a test waits for what must come."""

    async def make_store(self, folder: Path, service: str) -> Store:
        """The database of a service, not open yet; in the same folder it is the same again."""
        raise NotImplementedError("a suite says how its stores are made")

    async def make_broker(self, folder: Path) -> Broker:
        """A broker that is not open yet; in the same folder it is the same again."""
        raise NotImplementedError("a suite says how its broker is made")

    @asynccontextmanager
    async def broker_away(self, interrupted: Interrupted) -> AsyncGenerator[None]:
        """Have no broker as long as the block lasts. A suite with a server ends and restarts that."""
        interrupted.away = True
        try:
            yield
        finally:
            interrupted.away = False

    async def crash_store(self) -> None:
        """End the database server at once and start it again; nothing where there is none."""

    # --- rows and events are one ------------------------------------------------------------------

    async def test_a_body_that_raises_tells_nobody(self) -> None:
        async with self._folder() as folder, living(self, folder) as life:
            for number in range(3):
                async with raising(ServiceFailure, "an operation that fails"):
                    await life.desk.tear(Note(writer="torn", number=number))
                await life.keep("ann", number, number + 1)
            await self._until(life, lambda: _everywhere(life, 3))
            notes = [("ann", number) for number in range(3)]
            equal(await life.kept(), notes, "what is kept")
            equal(_notes(await life.heard()), notes, "what is heard")

    async def test_an_event_for_later_comes_when_it_is_due(self) -> None:
        async with self._folder() as folder, living(self, folder) as life:
            clock = life.host.clock
            due_s = clock.monotonic() + 1.0
            await life.desk.keep_for_later(Note(writer="later", number=1), 1.0)
            back = await life.desk.keep_for_later(Note(writer="back", number=1), 1.0)
            check(await life.desk.take_back(back), "an event for later could not be taken back")
            await life.keep("ann", 0, 1)
            await self._until(life, lambda: _everywhere(life, 1))
            if clock.monotonic() < due_s:
                equal(_notes(await life.heard()), [("ann", 0)], "what is heard before it is due")
            await self._until(life, lambda: _everywhere(life, 2))
            check(clock.monotonic() >= due_s, "an event for later came early")
            await self._settled(life)
            heard = sorted(_notes(await life.heard()))
            equal(heard, [("ann", 0), ("later", 1)], "what is heard in all")

    async def test_a_stored_answer_is_given_again(self) -> None:
        async with self._folder() as folder:
            for turn in range(2 if self.lasts else 1):
                async with living(self, folder, only=["desk"]) as life:
                    answers = [await life.desk.receipt("ann") for _ in range(3)]
                    equal(answers, [1, 1, 1], f"answers to one key in life {turn + 1}")

    # --- once, and in order -----------------------------------------------------------------------

    async def test_effects_happen_once_while_events_come_again(self) -> None:
        if not self.lasts:
            return
        async with self._folder() as folder:
            async with living(self, folder, through=forgetful) as life:
                await self._keep_all(life)
                await self._until(life, lambda: _everywhere(life, len(_WRITERS) * _NOTES))
            async with living(self, folder, through=rewound) as life:
                await self._until(life, lambda: _dropped(life, len(_WRITERS) * _NOTES))
                await self._right(life)

    async def test_order_holds_per_key(self) -> None:
        async with self._folder() as folder, living(self, folder) as life:
            await self._keep_all(life)
            await self._right(life)

    async def test_what_is_unhandled_is_bounded(self) -> None:
        counting, window = Counting(), InboxTerms().window
        many = window + window // 4
        async with self._folder() as folder, living(self, folder, through=counting) as life:
            await life.desk.murmur(many)
            await self._until(life, lambda: _given(counting, "hall.hear", many))
            await self._until(life, lambda: _given(counting, "hall.listen", window // 2))
            await life.keep("ann", 0, 3)
            await self._until(life, lambda: _heard(life, 3))
            taken = counting.taken["hall.listen"]
            check(taken <= window, f"{taken} events were taken while none could be handled")
            most = counting.most_at_once
            check(most <= RelayTerms().batch, f"{most} events were published at once")
            life.hall.gate.set()

    # --- what fails -------------------------------------------------------------------------------

    async def test_a_failing_event_holds_up_only_its_key(self) -> None:
        async with self._folder() as folder, living(self, folder) as life:
            life.hall.sick.add("ann")
            await self._keep_all(life)
            healthy = (len(_WRITERS) - 1) * _NOTES
            await self._until(life, lambda: _heard(life, healthy))
            await self._until(life, lambda: _parked(life, _NOTES))
            equal([p for p in await life.heard() if p.writer == "ann"], [], "effects of the sick")
            life.hall.sick.clear()
            await self._right(life)

    async def test_a_dead_event_lets_others_go_on_and_can_be_replayed(self) -> None:
        async with self._folder() as folder, living(self, folder, attempts=2) as life:
            life.hall.sick.add("ann")
            await life.keep("ann", 0, 1)
            store = life.host.services["hall"].store
            assert store is not None
            letters = DeadLetters(store, life.host.clock)
            await self._until(life, lambda: _is_dead(letters, 1))
            life.hall.sick.clear()
            await life.keep("ann", 1, 3)
            await self._until(life, lambda: _heard(life, 2))
            equal(_notes(await life.heard()), [("ann", 1), ("ann", 2)], "what followed the dead")
            group = (await letters.groups(Selection()))[0]
            check("makes me sick" in group.cause, f"the cause of a dead event is {group.cause}")
            equal(len(await letters.replay(Selection(), HANDLERS)), 1, "replayed events")
            await self._until(life, lambda: _heard(life, 3))
            equal(list(await letters.groups(Selection())), [], "what is dead after the replay")

    async def test_nothing_is_lost_while_the_broker_is_away(self) -> None:
        interrupted = Interrupted()
        async with self._folder() as folder, living(self, folder, through=interrupted) as life:
            await self._keep_all(life, 0, 2)
            async with self.broker_away(interrupted):
                await self._keep_all(life, 2, _NOTES - 2)
            await self._keep_all(life, _NOTES - 2, _NOTES)
            await self._right(life)

    async def test_what_was_committed_outlives_the_server_of_the_database(self) -> None:
        async with self._folder() as folder, living(self, folder, only=["desk"]) as life:
            await life.keep("ann", 0, 20)
            await self.crash_store()
            await life.keep("ann", 20, 25)
            equal(await life.kept(), [("ann", number) for number in range(25)], "what is kept")

    # --- processes --------------------------------------------------------------------------------

    async def test_killed_processes_lose_nothing_and_double_nothing(self) -> None:
        if not self.lasts:
            return
        acknowledged: list[tuple[str, int]] = []
        async with self._folder() as folder:
            for turn in range(2):
                async with self._process(folder, _WRITERS, turn * 100_000) as child:
                    await child.acknowledges(60)
                acknowledged += child.acknowledged
            async with living(self, folder) as life:
                await self._right(life)
                missing = sorted(set(acknowledged) - set(await life.kept()))
                equal(missing, [], "acknowledged notes that are lost")

    async def test_what_was_at_work_at_a_crash_is_handled_after_it(self) -> None:
        if not self.lasts:
            return
        async with self._folder() as folder:
            hall = folder / "data" / "hall"
            hall.mkdir(parents=True)
            (hall / "hold").touch()
            async with self._process(folder, ("ann",), 0, 1) as child:
                await child.acknowledges(1)
                await self._appears(hall / "held")
            (hall / "hold").unlink()
            async with living(self, folder) as life:
                await self._right(life)

    async def test_a_process_that_was_taken_over_has_no_effect(self) -> None:
        if not self.lasts:
            return
        async with self._folder() as folder, self._process(folder, _WRITERS, 0, _NOTES) as child:
            await child.acknowledges(len(_WRITERS) * _NOTES)
            async with living(self, folder) as life:
                await self._right(life)
                pausing = asyncio.create_task(_pause_twice(child))
                number = 0
                while not pausing.done():
                    await life.keep("eve", number, number + 1)
                    number += 1
                    await asyncio.sleep(_LOOK_S / 2)
                await pausing
                await self._right(life)

    # --- history ----------------------------------------------------------------------------------

    async def test_a_projection_begins_with_what_is_retained(self) -> None:
        if not self.lasts:
            return
        async with self._folder() as folder:
            async with living(self, folder, only=["desk"]) as life:
                await life.keep("ann", 0, 5)
                await self._settled(life)
            async with living(self, folder) as life:
                await self._until(life, lambda: _shown(life, 5))
                await life.keep("ann", 5, 6)
                wanted = [("ann", number) for number in range(6)]
                await self._until(life, lambda: _shown(life, 6))
                equal(await life.shown(), wanted, "what the projection shows")
                store = life.host.services["hall"].store
                assert store is not None
                await rebuild(store, "hall.show", ["shown"])
                await self._until(life, lambda: _shown(life, 6))
                await self._settled(life)
                equal(await life.shown(), wanted, "what the projection shows when made anew")

    async def test_a_new_handler_begins_now(self) -> None:
        if not self.lasts:
            return
        async with self._folder() as folder:
            async with living(self, folder, only=["desk"]) as life:
                await life.keep("ann", 0, 5)
                await self._settled(life)
            async with living(self, folder) as life:
                await life.keep("ann", 5, 6)
                await self._until(life, lambda: _heard(life, 1))
                await self._settled(life)
                equal(_notes(await life.heard()), [("ann", 5)], "what the new handler heard")

    # --- how the tests wait and judge -------------------------------------------------------------

    @asynccontextmanager
    async def _folder(self) -> AsyncGenerator[Path]:
        with tempfile.TemporaryDirectory(
            prefix="borough-promise-", ignore_cleanup_errors=True
        ) as name:
            yield Path(name)

    @asynccontextmanager
    async def _process(
        self, folder: Path, writers: tuple[str, ...], first: int, notes: int = 1_000_000
    ) -> AsyncGenerator[Child]:
        """A process that is killed when the block is left."""
        child = await Child.start(self, folder, writers, first, notes)
        try:
            async with asyncio.timeout(_START_S):
                await child.ready()
            yield child
        finally:
            await child.kill()

    async def _keep_all(self, life: Life, first: int = 0, last: int = _NOTES) -> None:
        """Keep notes of every writer, side by side."""
        async with asyncio.TaskGroup() as group:
            for writer in _WRITERS:
                group.create_task(life.keep(writer, first, last))

    async def _until(self, life: Life, is_so: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it is so. Raises `AssertionError` with where things stand when it takes too long."""
        activity = life.host.activity
        try:
            async with asyncio.timeout(self.patience_s):
                while not await is_so():
                    await activity.wait(activity.count, _LOOK_S)
        except TimeoutError:
            raise AssertionError(f"it has not come to that: {await _standing(life)}") from None

    async def _settled(self, life: Life) -> None:
        """Wait until nothing is on its way."""
        try:
            async with asyncio.timeout(self.patience_s):
                await life.host.quiet()
        except TimeoutError:
            raise AssertionError(f"it does not become quiet: {await _standing(life)}") from None

    async def _appears(self, path: Path) -> None:
        try:
            async with asyncio.timeout(self.patience_s):
                while not path.exists():  # noqa: ASYNC110, ASYNC240 - another process makes it
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise AssertionError("no handler has begun") from None

    async def _right(self, life: Life) -> None:
        """Wait until all that is kept is heard everywhere; it is once, and in order."""
        kept = await life.kept()
        await self._until(life, lambda: _everywhere(life, len(kept)))
        await self._settled(life)
        heard = _notes(await life.heard())
        equal(sorted(heard), kept, "what was heard, against what is kept")
        equal(await life.shown(), kept, "what the projection shows, against what is kept")
        told = life.told()
        equal(sorted(set(told)), kept, "what was told, against what is kept")
        equal(_disorder(heard), [], "notes heard out of order")
        equal(_disorder(told), [], "notes told out of order")


async def _pause_twice(child: Child) -> None:
    """Let it stand still for longer than its roles last."""
    for _ in range(2):
        child.pause()
        await asyncio.sleep(2 * LEASE_S)
        child.go_on()
        await asyncio.sleep(LEASE_S / 2)


async def _heard(life: Life, count: int) -> bool:
    return len(await life.heard()) >= count


async def _shown(life: Life, count: int) -> bool:
    return len(await life.shown()) >= count


async def _everywhere(life: Life, count: int) -> bool:
    """Whether every handler has had so many notes."""
    everywhere = len(set(life.told())) >= count and await _heard(life, count)
    return everywhere and await _shown(life, count)


async def _dropped(life: Life, count: int) -> bool:
    """Whether every handler was given so many notes again."""
    assert life.host.carriage is not None
    return life.host.carriage.counts["hall"].duplicates >= count * len(HANDLERS)


async def _given(counting: Counting, group: str, count: int) -> bool:
    """Whether so many events were taken by a handler."""
    return counting.taken[group] >= count


async def _is_dead(letters: DeadLetters, count: int) -> bool:
    return sum(group.events for group in await letters.groups(Selection())) >= count


async def _parked(life: Life, count: int) -> bool:
    """Whether so many events are put aside."""
    found: int = await life.database("hall").one(int, "select count(*) from borough_parked")
    return found >= count


async def _standing(life: Life) -> str:
    """Where things stand, in words."""
    if "hall" not in life.host.services:
        return "the desk's events are still in its outbox"
    heard, shown = len(await life.heard()), len(await life.shown())
    return f"{heard} notes are heard, {shown} shown, {len(set(life.told()))} told"


def _notes(places: Iterable[Place]) -> list[tuple[str, int]]:
    return [(place.writer, place.number) for place in places]


def _disorder(notes: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Notes whose first effect came after that of a later note of their writer."""
    highest: dict[str, int] = {}
    found: list[tuple[str, int]] = []
    for writer, number in dict.fromkeys(notes):
        if number < highest.get(writer, -1):
            found.append((writer, number))
        highest[writer] = max(number, highest.get(writer, -1))
    return found
