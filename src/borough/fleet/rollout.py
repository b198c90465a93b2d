"""Lets a service of a running fleet come to another version, replica by replica, and back on trouble.

What follows what is decided in `reliability/rollout.py`; here each state is acted out. The first new
process describes itself before it may start, so nothing of the running system has been touched by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

import msgspec

from borough.clock import Clock
from borough.errors import BoroughError, Unavailable
from borough.fleet.commands import Say
from borough.fleet.compatibility import doubts_about, refusals
from borough.fleet.control import ServiceSaid
from borough.fleet.member import Member
from borough.fleet.supervisor import Supervisor
from borough.reliability.rollout import FINAL, TRANSITIONS, Event, State, Tally, is_much_worse
from borough.runtime.code import Code
from borough.runtime.topology import Deployable

__all__ = ["Outcome", "Rollout"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a rollout."""

    service: str
    deployable: str
    state: State
    code: str
    """Where the new code lies."""
    before: str
    after: str
    """The versions of the service, `after` empty where that was not found out."""
    reasons: tuple[str, ...] = ()
    """Why it was refused or rolled back."""
    warnings: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For people to read."""
        why = "; ".join(self.reasons)
        match self.state:
            case "done":
                return f"{self.service} runs {self.after} instead of {self.before} ({self.code})"
            case "refused":
                return f"{self.service} stays at {self.before}, nothing was changed: {why}"
            case "rolled back":
                return f"{self.service} is rolled back to {self.before}: {why}"
            case _:
                return f"{self.service} could not be rolled back to {self.before}: {why}"


class _Trouble(Exception):
    """Why it does not go on."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


class Rollout:
    """One service on its way from the running code to `code`."""

    def __init__(
        self,
        supervisor: Supervisor,
        deployable: Deployable,
        service: str,
        code: Code,
        *,
        clock: Clock,
        watch_s: float,
        start_within_s: float,
        say: Say,
        elsewhere: Collection[str] = (),
    ) -> None:
        """`elsewhere`: the services that others answer, or nobody but their examples, and commands."""
        self._supervisor = supervisor
        self._deployable = deployable
        self._service = service
        self._code = code
        self._clock = clock
        self._watch_s = watch_s
        self._start_within_s = start_within_s
        self._say = say
        self._elsewhere = elsewhere
        self._old = supervisor.replicas_of(deployable.name)
        self._wanted = len(self._old)
        self._down = [each for each in self._old if each.state == "failed"]
        self._new: list[Member] = []
        self._held: Member | None = None
        self._before = self._after = ""
        self._calls = frozenset[str]()
        self._called = supervisor.declared_by(service)
        self._reasons: tuple[str, ...] = ()
        self._warnings: list[str] = []
        self._acts: dict[State, Callable[[], Any]] = {
            "checking": self._check,
            "starting": self._start,
            "watching": self._watch,
            "retiring": self._retire,
            "dismissing": self._clear,
            "restoring": self._restore,
            "clearing": self._clear,
        }

    async def run(self) -> Outcome:
        """Go from state to state until nothing is left to do."""
        state: State = "checking"
        while state not in FINAL:
            try:
                event: Event = await self._acts[state]()
            except _Trouble as trouble:
                event = self._note(state, trouble.reasons)
            except Exception as error:  # whatever it is, no new replica stays behind half-way
                if (state, "trouble") not in TRANSITIONS:
                    raise
                event = self._note(state, (f"{type(error).__name__}: {error}",))
            state = TRANSITIONS[state, event]
        if state != "stuck":
            await self._supervisor.declare(
                self._service, self._calls if state == "done" else self._called
            )
        return Outcome(
            service=self._service,
            deployable=self._deployable.name,
            state=state,
            code=self._code.place,
            before=self._before,
            after=self._after,
            reasons=self._reasons,
            warnings=tuple(self._warnings),
            replicas=tuple(m.name for m in self._supervisor.replicas_of(self._deployable.name)),
        )

    def _note(self, state: State, reasons: tuple[str, ...]) -> Event:
        self._reasons = (*self._reasons, *reasons)
        if state != "checking":  # that it is refused, and why, is its last word
            self._say(f"{state} has failed: {'; '.join(reasons)}")
        return "trouble"

    # --- forwards ----------------------------------------------------------------------------------

    async def _check(self) -> Event:
        """Have one new process load the code and say what it relies on; hold that against what runs."""
        unknown = await self._absent()
        running = await self._running()
        self._before = running[self._service].version if self._service in running else "none"
        if self._service not in running:
            raise _Trouble(f"no replica of {self._service} is ready; mend that first")
        candidate = self._supervisor.begin(self._deployable, self._code, is_held=True)
        self._new.append(candidate)
        self._held = candidate
        await self._until(lambda: candidate.pid is not None)
        described = await self._described(candidate)
        said = described.get(self._service)
        if said is None:
            names = ", ".join(described) or "none"
            raise _Trouble(f"the new code has no service {self._service}; it has {names}")
        self._after = said.version
        doubts = await asyncio.to_thread(doubts_about, self._service, said, running)
        self._warnings = [*unknown, *doubts]
        for warning in self._warnings:
            self._say(f"warning: {warning}")
        refused = await asyncio.to_thread(refusals, self._service, said, running, self._elsewhere)
        if refused:
            raise _Trouble(*refused)
        # Before it starts, for it may call others then: the declaration is the permission.
        self._calls = frozenset(said.declares)
        await self._supervisor.declare(self._service, self._called | self._calls)
        self._say(f"{self._service} {self._after} fits what runs; {self._before} goes")
        return "fine"

    async def _absent(self) -> list[str]:
        """Wait for those of whom no replica takes calls, and who may in a moment: they are asked, too.

        Returns what is to be said of those who stay away.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._start_within_s):
                told = set[str]()
                while coming := {name for name, comes in self._missing().items() if comes}:
                    seen = self._supervisor.changes.count
                    for name in sorted(coming - told):
                        self._say(f"{name} is waited for: it does not take calls now")
                    told |= coming
                    await self._supervisor.changes.wait(seen)
        away = self._missing().keys() - {self._deployable.name}
        return [
            f"{name} does not run, so whether it can live with the new version is not known"
            for name in sorted(away)
        ]

    def _missing(self) -> dict[str, bool]:
        """The deployables of which no replica takes calls, and whether one is on its way."""
        found: dict[str, bool] = {}
        members = [each for each in self._supervisor.members.values() if not each.is_door]
        there = {each.deployable for each in members if each.takes_calls}
        for member in members:
            if member.deployable not in there:
                comes = member.state != "failed"
                found[member.deployable] = comes or found.get(member.deployable, False)
        return found

    async def _running(self) -> dict[str, ServiceSaid]:
        """What every service says that takes calls now, each by one of its replicas."""
        asked = {
            each.deployable: each for each in self._supervisor.members.values() if each.takes_calls
        }
        found: dict[str, ServiceSaid] = {}
        for member in asked.values():
            if not member.is_door:
                found.update(await self._described(member))
        return found

    async def _described(self, member: Member) -> dict[str, ServiceSaid]:
        try:
            async with asyncio.timeout(self._start_within_s):
                return await member.description()
        except TimeoutError:
            seconds = self._start_within_s
            raise _Trouble(f"{member.name} has not described itself within {seconds:g} s") from None
        except Unavailable:
            while member.trouble is None:  # its process has ended; why, is told in a moment
                await self._supervisor.changes.wait(self._supervisor.changes.count)
            raise _Trouble(member.trouble) from None
        except BoroughError as error:
            raise _Trouble(str(error)) from error

    async def _start(self) -> Event:
        """One more new replica, until it is ready and everybody has been told of it."""
        held, self._held = self._held, None
        if held is not None:
            member = held
            member.let_start()
        else:
            member = self._supervisor.begin(self._deployable, self._code)
            self._new.append(member)
        await self._until(lambda: member.state == "ready")
        await self._supervisor.until_told()
        self._say(f"{member.name} takes calls")
        return "fine"

    async def _watch(self) -> Event:
        """Let old and new answer side by side."""
        until = self._clock.monotonic() + self._watch_s
        before = {member: member.tally for member in [*self._new, *self._left]}

        def lately(members: list[Member]) -> Tally:
            return sum((m.tally.since(before[m]) for m in members), Tally())

        while (left_s := until - self._clock.monotonic()) > 0:
            seen = self._supervisor.changes.count
            self._refuse_trouble()
            new, old = lately(self._new), lately(self._left)
            if is_much_worse(new, old):
                raise _Trouble(
                    f"{new.failures} of {new.requests} requests failed with {self._after}, and "
                    f"{old.failures} of {old.requests} with {self._before}"
                )
            await self._supervisor.changes.wait(seen, left_s)
        return "fine"

    async def _retire(self) -> Event:
        """One old replica finishes what it does and ends, once nobody calls it any more."""
        if self._left:
            leaving = self._left[0]
            await self._supervisor.see_off([leaving])
            self._say(f"{leaving.name} has gone")
        self._refuse_trouble()
        return "fine" if self._left else "last"

    # --- and back ----------------------------------------------------------------------------------

    async def _restore(self) -> Event:
        """As many old replicas as there were; one that has come to stay down meanwhile is replaced."""
        lost = [each for each in self._left if each.state == "failed" and each not in self._down]
        await self._supervisor.see_off(lost)
        missing = self._wanted - len(self._left)
        back = [self._supervisor.begin(self._deployable) for _ in range(missing)]
        left = [each for each in self._left if each not in self._down]
        try:
            await self._supervisor.until_ready([*left, *back])
        except BoroughError as error:
            raise _Trouble(str(error)) from error
        await self._supervisor.until_told()
        return "fine"

    async def _clear(self) -> Event:
        """The new ones finish what they do, and end."""
        await self._supervisor.see_off(self._new)
        return "fine"

    # --- meanwhile ---------------------------------------------------------------------------------

    @property
    def _left(self) -> list[Member]:
        """The old ones that are still there."""
        members = self._supervisor.members
        return [each for each in self._old if members.get(each.name) is each]

    async def _until(self, holds: Callable[[], bool]) -> None:
        while True:
            seen = self._supervisor.changes.count
            self._refuse_trouble()
            if holds():
                return
            await self._supervisor.changes.wait(seen)

    def _refuse_trouble(self) -> None:
        for member in self._new:
            if member.trouble is not None:
                raise _Trouble(member.trouble)
