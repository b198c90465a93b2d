"""One replica's place in a fleet, whatever process fills it: begun, watched, begun anew, seen off.

starting -> ready -> draining -> stopped        asked to leave
starting | ready | draining -> waiting -> starting  its process has ended by itself
                            -> failed           too often, or for a reason that will not go
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from typing import Literal, NamedTuple, Protocol

from borough.clock import Clock
from borough.errors import BoroughError, Unavailable
from borough.fleet.control import (
    AreYouQuiet,
    Assignment,
    Calm,
    Describe,
    Described,
    DirectoryChanged,
    Done,
    Drain,
    Failed,
    Figures,
    FromReplica,
    Leaving,
    Peer,
    Ready,
    RunSchedule,
    Seen,
    ServiceSaid,
    ToReplica,
)
from borough.fleet.last_words import LastWords
from borough.reliability.restarts import Restarts
from borough.reliability.rollout import Tally
from borough.runtime.pulse import set_within
from borough.transports.http.wire import EDGE

__all__ = ["Begin", "Ended", "Member", "Occupant", "Owner", "State"]

_SILENT = "has given no sign of life for {:g} s"
_HEARING_S = 1.0
State = Literal["starting", "ready", "draining", "waiting", "failed", "stopped"]


class Ended(NamedTuple):
    """The end of a process: when, in seconds since 1970, and what it printed last."""

    at: float
    last_words: tuple[str, ...]


class Owner(Protocol):
    """Whom a member tells what becomes of it."""

    def said(self, member: Member, line: str) -> None:
        """Its process has printed a line."""
        ...

    def changed(self, member: Member, sentence: str) -> None:
        """Its state is another one."""
        ...

    def wants_to_leave(self, member: Member) -> None:
        """Somebody else has told its process to stop."""
        ...

    def is_served(self, deployable: str) -> bool:
        """Whether a replica of it takes calls now."""
        ...

    def moved(self) -> None:
        """Something that is not worth a sentence has changed."""
        ...

    def current_directory(self) -> DirectoryChanged:
        """Who takes calls now."""
        ...


class Occupant(Protocol):
    """The process that fills a place: a replica in Python, or a command."""

    @property
    def pid(self) -> int | None:
        """Its number, once there is one."""
        ...

    def tell(self, message: ToReplica) -> None:
        """Say something to it. It starts once it knows a directory."""
        ...

    def messages(self) -> AsyncIterator[FromReplica]:
        """What it says, until it has gone."""
        ...

    def come_forward(self) -> None:
        """Its code is loaded: it has a share of the processor like others."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    async def ended(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        ...


class Begin(Protocol):
    """Begins a process for a place. Raises `OSError`."""

    async def __call__(self, say: Callable[[str], None], *, is_aside: bool) -> Occupant:
        """`say` gets each line that it prints; `is_aside` where others serve meanwhile."""
        ...


class Member:
    """A replica's place. The public fields are for whoever shows it."""

    def __init__(
        self,
        assignment: Assignment,
        owner: Owner,
        clock: Clock,
        terms: Restarts,
        *,
        start_within_s: float,
        silent_s: float,
        begin: Begin,
        is_held: bool = False,
    ) -> None:
        """`begin` gives the process. One that `is_held` loads its code, and waits with its start for `let_start`."""
        self.assignment = assignment
        self.name = f"{assignment.deployable}.{assignment.number}"
        self.state: State = "starting"
        self.restarts = 0
        self.ready: Ready | None = None
        self.figures: Figures | None = None
        self.requests_per_s: float | None = None
        self.cpu_percent = 0.0
        self.seen = 0
        self.failure: Failed | None = None
        """Why its latest process has ended."""
        self.last_end: Ended | None = None
        self._owner = owner
        self._clock = clock
        self._terms = terms
        self._start_within_s = start_within_s
        self._silent_s = silent_s
        self._begin = begin
        self._child: Occupant | None = None
        self._is_held = is_held
        self._timer: asyncio.TimerHandle | None = None
        self._figured_at = 0.0
        self._ends: tuple[float, ...] = ()
        self._kept_outside = 0
        """How often in a row it has found no database, or no process could be had."""
        self._leave = asyncio.Event()
        self._complaint = ""
        self._words = LastWords()
        self._has_been_ready = False
        self._asked = 0
        self._answers: dict[int, asyncio.Future[Calm | Done | Described]] = {}
        self._task = asyncio.ensure_future(self._run())

    @property
    def pid(self) -> int | None:
        """The process that fills the place now."""
        return self._child.pid if self._child is not None else None

    @property
    def deployable(self) -> str:
        """What it is a replica of."""
        return self.assignment.deployable

    @property
    def is_door(self) -> bool:
        """Whether it is the public door."""
        return self.assignment.deployable == EDGE

    @property
    def where(self) -> str:
        """Its URL, empty while it has none."""
        ready = self.ready
        if ready is None:
            return ""
        return ready.edge or f"{ready.scheme}://{ready.host}:{ready.port}"

    @property
    def grpc(self) -> tuple[str, ...]:
        """Where it takes calls by gRPC."""
        return () if self.ready is None else self.ready.grpc

    @property
    def version(self) -> str:
        """The versions of its services, each once."""
        services = self.ready.services if self.ready is not None else {}
        return ", ".join(dict.fromkeys(version for version in services.values() if version))

    @property
    def tally(self) -> Tally:
        """What its process has answered, as of its last word."""
        figures = self.figures
        if figures is None or figures.requests is None:
            return Tally()
        return Tally(figures.requests, figures.failures)

    @property
    def trouble(self) -> str | None:
        """Why the place is not filled as it was at first; None where it is."""
        if self.state in ("ready", "starting") and not self.restarts:
            return None
        failure = self.failure.sentence if self.failure is not None else "it does not run any more"
        return f"{self.name}: {failure}"

    @property
    def takes_calls(self) -> bool:
        """Whether it is to be found by others."""
        return self.state == "ready"

    def peers(self) -> dict[str, Peer]:
        """How others reach it, by service."""
        ready = self.ready
        if not self.takes_calls or ready is None or ready.host is None or ready.port is None:
            return {}
        identity = f"{self.name}/{self.pid}"
        return {
            service: Peer(identity, ready.host, ready.port, version)
            for service, version in ready.services.items()
        }

    # --- what others ask of it ---------------------------------------------------------------------

    def let_start(self) -> None:
        """Those whom it calls are ready. Its process starts once it knows a directory."""
        self._is_held = False
        self._begin_start()

    def tell(self, directory: DirectoryChanged) -> None:
        """Hand the directory on to its process."""
        if self._child is not None and not self._is_held:
            self._child.tell(directory)

    def withdraw(self) -> None:
        """Take no more calls from now on; its end is no failure any more."""
        self._leave.set()
        if self.state == "ready":
            self._become("draining", "drains")

    def drain(self) -> None:
        """Let its process finish what runs, and end."""
        if self._child is not None:
            self._child.tell(Drain())

    def kill(self) -> None:
        """End its process at once."""
        if self._child is not None:
            self._child.kill()

    async def ended(self) -> None:
        """Wait until it stays down."""
        await asyncio.wait([self._task])

    async def is_quiet(self) -> Calm:
        """Ask its process whether events are on their way. Raises `Unavailable` when that ends."""
        answer = await self._ask(AreYouQuiet)
        assert isinstance(answer, Calm)
        return answer

    async def run_schedule(self, schedule: str) -> str | None:
        """Have its process run a schedule once; returns why that failed, if it did."""
        answer = await self._ask(lambda number: RunSchedule(number, schedule))
        assert isinstance(answer, Done)
        return answer.refusal

    async def description(self) -> dict[str, ServiceSaid]:
        """Ask its process what its services rely on. Raises `Unavailable` when that ends, else
        `BoroughError` with why it cannot say."""
        answer = await self._ask(Describe)
        assert isinstance(answer, Described)
        if answer.refusal is not None:
            raise BoroughError(answer.refusal)
        return answer.services

    async def _ask(
        self, question: Callable[[int], AreYouQuiet | RunSchedule | Describe]
    ) -> Calm | Done | Described:
        if self._child is None:
            raise Unavailable(f"{self.name} does not run")
        self._asked += 1
        answer = asyncio.get_running_loop().create_future()
        self._answers[self._asked] = answer
        self._child.tell(question(self._asked))
        found: Calm | Done | Described = await answer
        return found

    # --- what becomes of it ------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                reason, is_final = await self._live()
            except Exception as error:  # a place that nobody looks after must not seem to be filled
                failure = Failed(f"cannot be looked after: {error!r}", 1, True)
                self._note_end(failure)
                reason, is_final = failure.sentence, True
            if self._leave.is_set():
                self._become("stopped", "has stopped")
                return
            wait_s = self._wait_s()
            if is_final or wait_s is None:
                self._become("failed", f"{reason}; it stays down")
                return
            self.restarts += 1
            self._become("waiting", f"{reason}; begun anew in {wait_s:.1f} s")
            if await set_within(self._leave, self._clock, wait_s):
                self._become("stopped", "has stopped")
                return

    def _wait_s(self) -> float | None:
        """How long until it is begun anew, None where it has ended too often.

        What has served, and finds no database now, or gets no process, waits for it however long that takes.
        """
        now, chance = self._clock.monotonic(), self._clock.random.random()
        is_known = self._has_been_ready
        if is_known and self.failure is not None and self.failure.is_outside:
            self._kept_outside += 1
            return self._terms.waits.delay_s(self._kept_outside, chance)
        self._kept_outside = 0
        # One that has never been ready may take long to end, and would be tried for ever.
        self._ends = self._terms.counted(self._ends, now) if is_known else (*self._ends, now)
        return self._terms.wait_s(self._ends, chance)

    async def _live(self) -> tuple[str, bool]:
        """One process from its start to its end: why it ended, and whether another would, too."""
        self._become("starting", "")
        self._complaint = ""
        self._words = LastWords()
        failed: list[Failed] = []
        try:
            child = await self._begin(self._say, is_aside=self._owner.is_served(self.deployable))
        except OSError as error:
            # The machine is short of something, or the data are away.
            sentence = f"cannot be started: {error.strerror or error}"
            said = Failed(sentence, 1, is_final=False, is_outside=True)
            self._note_end(said)
            return said.sentence, False
        self._child = child
        self._owner.moved()
        self._begin_start()
        if self._leave.is_set():
            child.tell(Drain())
        listening = asyncio.ensure_future(self._listen(child, failed))
        try:
            status = await child.ended()
            await listening
        finally:
            self._expect_within(None, "")
            child.kill()
            self._child = None
            self._forget()
        said = failed[-1] if failed else Failed(self._complaint or _ending(status), 1, False)
        self._note_end(said)
        return said.sentence, said.is_final and not self._has_been_ready

    def _note_end(self, failure: Failed) -> None:
        self.failure = failure
        self.last_end = Ended(self._clock.epoch_s(), self._words.told())

    def _begin_start(self) -> None:
        if self._child is None or self._is_held:
            return
        self._child.tell(self._owner.current_directory())
        self._expect_within(self._start_within_s, "has not been ready within {:g} s")

    def _forget(self) -> None:
        self.ready = self.figures = None
        self.requests_per_s, self.cpu_percent = None, 0.0
        self.seen = 0
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(Unavailable(f"{self.name} has ended before it answered"))

    async def _listen(self, child: Occupant, failed: list[Failed]) -> None:
        async for message in child.messages():
            self._hear(message, failed)

    def _hear(self, message: FromReplica, failed: list[Failed]) -> None:
        match message:
            case Ready():
                self.ready = message
                self._has_been_ready = True
                self._expect_within(self._silent_s, _SILENT)
                if not self._leave.is_set():
                    self._become("ready", f"is ready (pid {self.pid}, {self.where})")
            case Figures():
                self._take_figures(message)
                self._expect_within(self._silent_s, _SILENT)
            case Failed():
                failed.append(message)
            case Leaving():
                if self.state == "ready":
                    self._become("draining", "was told by a signal to stop, and drains")
                self._owner.wants_to_leave(self)
            case Seen(number):
                self.seen = number
                if self._child is not None:
                    self._child.come_forward()  # its code is loaded
                self._owner.moved()
            case Calm(number) | Done(number) | Described(number):
                answer = self._answers.pop(number, None)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def _take_figures(self, now: Figures) -> None:
        at, before = self._clock.monotonic(), self.figures
        self.requests_per_s = None if now.requests is None else self.requests_per_s or 0.0
        if before is not None and at > self._figured_at:
            seconds = at - self._figured_at
            if now.requests is not None and before.requests is not None:
                self.requests_per_s = (now.requests - before.requests) / seconds
            self.cpu_percent = 100 * (now.cpu_s - before.cpu_s) / seconds
        self.figures, self._figured_at = now, at
        self._owner.moved()

    def _expect_within(self, seconds: float | None, complaint: str) -> None:
        """End the process unless something else is expected of it within that time; None for ever."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._suspect, complaint.format(seconds))

    def _suspect(self, complaint: str) -> None:
        # If this process itself has stood still, what it was told meanwhile is heard first.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_HEARING_S, self._end, complaint)

    def _end(self, complaint: str) -> None:
        if self._child is not None and self.state in ("starting", "ready", "draining"):
            self._complaint = complaint
            self._child.kill()

    def _say(self, line: str) -> None:
        self._words.add(line)
        self._owner.said(self, line)

    def _become(self, state: State, sentence: str) -> None:
        self.state = state
        self._owner.changed(self, sentence)


def _ending(status: int) -> str:
    if status >= 0:
        return f"has ended by itself with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
