"""`@every` handlers: each a leased role, so that one process of a service runs it at a time.

When it last ran stands in the service's database, so that a restart neither repeats nor delays it
by more than its interval. A missed run is not made up for, and a failed one waits for the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context

import msgspec
from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.errors import StoreError, TransactionConflict
from borough.reliability.lease import Lease, LeaseLost
from borough.runtime.database import ServiceDatabase
from borough.runtime.handling import lift_deadline
from borough.runtime.leases import Leases, check_lease, hold_lease
from borough.runtime.pulse import Pulse, set_before
from borough.runtime.reruns import rerun
from borough.services.context import CURRENT, Call, WorkPool
from borough.telemetry.recorder import start_trace
from borough.telemetry.span import Kind, Shape
from borough.transports.callee import is_cancelled, this_task
from borough.transports.sight import failure_of

__all__ = ["Schedule", "ScheduledHandler"]

_log = logging.getLogger("borough.schedules")

_READ = "select last_run from borough_schedules where name = $1"
_WRITE = """
insert into borough_schedules (name, last_run) values ($1, $2)
on conflict (name) do update set last_run = excluded.last_run
"""
_SHORTEST_DEADLINE_S = 30.0
_TAKING_S = 1.0  # how long a role is waited for that may be another process's


class ScheduledHandler(msgspec.Struct, frozen=True):
    """An `@every` method of a service object, bound.

    `name` is `service.method` or `service.NAME`.
    """

    name: str
    service: str
    interval_s: float
    function: Callable[..., Awaitable[object]]
    takes_transaction: bool


class Schedule:
    """One `@every` handler at work. `handled` and `failed` count its runs."""

    def __init__(
        self,
        handler: ScheduledHandler,
        database: ServiceDatabase,
        leases: Leases,
        clock: Clock,
        pool: WorkPool | None = None,
    ) -> None:
        self._handler = handler
        self._database = database
        self._leases = leases
        self._clock = clock
        self._pool = pool
        self._recorder = None if database.sight is None else database.sight.recorder
        self._shape = Shape(handler.service, f"every {handler.name}", Kind.INTERNAL)
        self._stopping = asyncio.Event()
        self._began = clock.epoch_s()
        self._due: float | None = None  # not known, or another process's
        self._moved = Pulse()
        self.handled = 0
        self.failed = 0

    async def run(self) -> None:
        """Run the handler each interval while this process has the role, until `stop`."""
        await self._leases.hold(f"every {self._handler.name}", self._keep, self._stopping)

    def stop(self) -> None:
        """Let a run that has begun finish, then let `run` return."""
        self._stopping.set()

    @property
    def name(self) -> str:
        """That of its handler."""
        return self._handler.name

    async def caught_up(self) -> None:
        """Wait until what is due by now has run. Where another process has the role, nothing is due here."""
        now = self._clock.epoch_s()
        if self._due is None:
            await self._moved.wait(self._moved.count, _TAKING_S)
        while self.is_behind(now):
            await self._moved.wait(self._moved.count)

    def is_behind(self, now: float) -> bool:
        """Whether a run is due, or at work."""
        return self._due is not None and self._due <= now and not self._stopping.is_set()

    def _next(self, due: float | None) -> None:
        self._due = due
        self._moved.beat()

    async def _keep(self, lease: Lease) -> None:
        try:
            await self._run_when_due(lease, await self._first_due(lease))
        finally:
            self._next(None)

    async def _run_when_due(self, lease: Lease, due: float) -> None:
        self._next(due)
        while not await self._stopped_before(due):
            now = self._clock.epoch_s()
            try:
                await self._run_once(lease, now)
                self.handled += 1
            except LeaseLost:
                raise
            except TransactionConflict as error:
                self.failed += 1
                _log.warning("%s comes again at its next time: %s", self._handler.name, error)
            except Exception as error:
                self.failed += 1
                _log.error("%s failed, again at its next time", self._handler.name, exc_info=error)
            due = now + self._handler.interval_s
            self._next(due)

    async def _first_due(self, lease: Lease) -> float:
        name = self._handler.name
        last: float | None = await self._database.maybe(float, _READ, name)
        now = self._clock.epoch_s()
        # What lies ahead was noted before the clock was set back: each start would wait for the whole interval.
        if last is None or last > now:
            last = min(self._began, now)
            async with self._database.store.transaction(serializable=False) as tx:
                await hold_lease(tx, lease)
                await tx.execute(_WRITE, name, last)
        return last + self._handler.interval_s

    async def _stopped_before(self, due: float) -> bool:
        """Wait until `due` (seconds since 1970).

        Returns True as soon as the schedule is stopped.
        """
        return await set_before(self._stopping, self._until(due))

    async def _until(self, due: float) -> None:
        # Never longer than the interval, whichever way the wall clock was set meanwhile. Looked at in the step in
        # which the sleep begins: a test moves its clock at any other.
        wait_s = min(due - self._clock.epoch_s(), self._handler.interval_s)
        if wait_s > 0:
            await self._clock.sleep(wait_s)

    async def _run_once(self, lease: Lease, now: float) -> None:
        clock, handler = self._clock, self._handler
        lasting_s = max(_SHORTEST_DEADLINE_S, handler.interval_s)
        recorder = self._recorder
        root = start_trace(recorder, clock.token)
        trace = root if recorder is None else root.child(recorder.new_id())
        call = Call(
            handler.name,
            handler.service,
            handler.service,
            None,
            clock.monotonic() + lasting_s,
            trace,
            pool=self._pool,
        )
        force_setattr(call, "armed", call.deadline)
        force_setattr(call, "armed_in", this_task())
        context = copy_context()
        context.run(CURRENT.set, call)
        if handler.takes_transaction:
            work = rerun(lambda: self._transacted(lease, now), clock)
        else:
            work = self._free(lease, now)
        task = asyncio.create_task(_run(work), context=context, name=handler.name)
        began, failure, limit = clock.monotonic(), None, asyncio.timeout(lasting_s)
        try:
            async with limit:
                await task
        except TimeoutError as error:
            failure = failure_of(error)
            if not limit.expired():  # the handler's own
                raise
            raise TimeoutError(
                f"it had not ended after {lasting_s:g} s, and was cancelled"
            ) from error
        except BaseException as error:
            failure = failure_of(error)
            raise
        finally:
            if recorder is not None:
                recorder.note(self._shape, root, began, failure=failure, trace=trace)
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _transacted(self, lease: Lease, now: float) -> None:
        async with self._database.transaction() as tx:
            await check_lease(tx, lease)
            await tx.execute(_WRITE, self._handler.name, now)
            await self._handler.function(tx)

    async def _free(self, lease: Lease, now: float) -> None:
        try:
            await self._handler.function()
        finally:
            await self._note(lease, now)

    async def _note(self, lease: Lease, now: float) -> None:
        lift_deadline()
        try:
            async with self._database.store.transaction(serializable=False) as tx:
                await hold_lease(tx, lease)
                await tx.execute(_WRITE, self._handler.name, now)
        except StoreError as error:
            _log.warning("%s: its last run was not noted: %s", self._handler.name, error)


async def _run(work: Awaitable[None]) -> None:
    """What a handler raises fails this run alone.

    A task would hand `sys.exit()` on to the loop, which would end the process; and where the handler has only
    awaited something that was cancelled, that would pass for the end of its schedule.
    """
    try:
        await work
    except SystemExit as error:
        raise RuntimeError(f"it has called sys.exit({error.code!r})") from error
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        raise RuntimeError("something that it awaited was cancelled") from error
