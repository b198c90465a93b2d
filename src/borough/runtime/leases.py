"""Leased roles: of all processes on one database, one does the work, and only its writes count.

Whoever holds a role renews it with all others of its process in one transaction. A holder that was
paused finds out at its next renewal; until then the epoch check in each of its transactions
refuses its writes. A lease that has run out and was taken by nobody is simply renewed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from borough.clock import Clock
from borough.ending import ended, until_done
from borough.errors import BrokerError, StoreError
from borough.ports import Store, StoreTransaction
from borough.reliability.lease import Lease, LeaseLost, LeaseRow, Terms, take

__all__ = ["Leases", "check_lease", "consumed", "hold_lease", "until_set"]

_log = logging.getLogger("borough.leases")

_PATIENCE_TERMS = 3

_READ = "select role, owner, epoch, until from borough_leases where role = $1"
_WRITE = """
insert into borough_leases (role, owner, epoch, until) values ($1, $2, $3, $4)
on conflict (role) do update
set owner = excluded.owner, epoch = excluded.epoch, until = excluded.until
where borough_leases.epoch = excluded.epoch - 1
"""
# One that was given back, and so ends at 0, stays so: a renewal that was under way may come after that.
_RENEW = """
update borough_leases set until = $1 where role = $2 and owner = $3 and epoch = $4 and until > 0
"""
_HOLD = """
update borough_leases set until = until where role = $1 and owner = $2 and epoch = $3
"""
_CHECK = "select 1 from borough_leases where role = $1 and owner = $2 and epoch = $3"
_CONSUMED = "select role from borough_leases where substr(role, 1, 8) = 'consume ' and until > $1"


class _Questions(Protocol):
    """What the epoch check needs of a transaction."""

    @property
    def maybe(self) -> Callable[..., Awaitable[int | None]]: ...


async def hold_lease(tx: StoreTransaction, lease: Lease) -> None:
    """Raise `LeaseLost` unless this very lease is in force; nobody takes it before `tx` commits.

    For the runtime's own transactions, one at a time: the row is theirs until the end.
    """
    if not await tx.execute(_HOLD, lease.role, lease.owner, lease.epoch):
        raise LeaseLost(f"{lease.role} is held by another process now")


async def check_lease(tx: _Questions, lease: Lease) -> None:
    """Raise `LeaseLost` unless this very lease is in force, as `tx` sees it; many may do so side by side."""
    if await tx.maybe(int, _CHECK, lease.role, lease.owner, lease.epoch) is None:
        raise LeaseLost(f"{lease.role} is held by another process now")


async def consumed(store: Store, now: float) -> frozenset[str]:
    """The handlers, by name, for which a process reads at this moment: whatever its code is."""
    return frozenset(role.split(" ")[1] for role in await store.all(str, _CONSUMED, now))


async def until_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event, at most so long; returns whether it is set."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True


class Leases:
    """The roles of one process in one service's database.

    `owner` is new at each start of a process.
    """

    def __init__(self, store: Store, clock: Clock, owner: str, terms: Terms | None = None) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._terms = terms or Terms()
        self.lasting_s = self._terms.lasting_s
        """How long a role is another process's after its last renewal."""
        self._held: dict[str, tuple[Lease, asyncio.Task[None]]] = {}
        self._renewal: asyncio.Task[None] | None = None

    async def hold(
        self, role: str, work: Callable[[Lease], Awaitable[None]], stopping: asyncio.Event
    ) -> None:
        """Do `work` whenever this process has the role, until `stopping` is set.

        When the role is lost the work is cancelled; when it fails, or returns before, the role is given back
        and taken again a little later.
        """
        clock, patience_s = self._clock, self._terms.lasting_s * _PATIENCE_TERMS
        say_at = clock.monotonic() + patience_s
        while not stopping.is_set():
            try:
                lease = await self.take(role)
            except StoreError as error:
                _log.warning("%s cannot be taken: %s", role, error)
                lease = None
            if lease is not None:
                if await self._do(lease, work) and stopping.is_set():
                    return
                say_at = clock.monotonic() + patience_s
            elif clock.monotonic() >= say_at:
                say_at = math.inf
                # Among replicas that is how it should be; it is for whoever looks for a reason.
                _log.debug("%s was not to be had for %.0f s; waiting on", role, patience_s)
            # A jitter keeps many who wait for the same role apart.
            await until_set(stopping, self._terms.renewal_s * (0.5 + self._clock.random.random()))

    async def take(self, role: str) -> Lease | None:
        """The role with a new epoch, None while another process holds it."""
        began = self._clock.monotonic()
        row = await self._store.maybe(LeaseRow, _READ, role)
        if take(row, role, self._owner, self._clock.epoch_s(), self._terms) is None:
            return None
        lease: Lease | None = None
        try:
            async with self._store.transaction(serializable=False) as tx:
                row = await tx.maybe(LeaseRow, _READ, role)
                taken = take(row, role, self._owner, self._clock.epoch_s(), self._terms)
                if taken is None or not await tx.execute(
                    _WRITE, taken.role, taken.owner, taken.epoch, taken.until
                ):
                    return None  # another process has it, or was first
                until = began + self._terms.lasting_s
                after_crash = row is not None and row.until > 0
                lease = Lease(role, self._owner, taken.epoch, until, after_crash=after_crash)
        except asyncio.CancelledError:
            if lease is not None:  # it may have committed all the same
                await ended(asyncio.ensure_future(self._give_back(lease)))
            raise
        return lease

    async def release(self, lease: Lease) -> None:
        """Let others have the role at once."""
        async with self._store.transaction(serializable=False) as tx:
            await tx.execute(_RENEW, 0.0, lease.role, lease.owner, lease.epoch)

    async def _do(self, lease: Lease, work: Callable[[Lease], Awaitable[None]]) -> bool:
        """Do the work; returns whether it has finished of itself."""
        task = asyncio.ensure_future(_awaited(work, lease))
        self._held[lease.role] = lease, task
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._renew(), name="borough-leases")
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # nothing where it has ended
            try:
                await until_done(task)
            finally:
                await ended(asyncio.ensure_future(self._gave_up(lease)))
        return self._finished(lease, task)

    def _finished(self, lease: Lease, task: asyncio.Task[None]) -> bool:
        error = None if task.cancelled() else task.exception()
        if task.cancelled():
            return False
        if error is None:
            return True
        if _is_only(error, LeaseLost):
            _log.info("%s went to another process", lease.role)
        elif _is_only(error, StoreError) or _is_only(error, BrokerError):
            _log.warning("%s stopped and is begun anew: %s", lease.role, _first(error))
        else:
            _log.error("%s failed and is begun anew", lease.role, exc_info=error)
        return False

    async def _gave_up(self, lease: Lease) -> None:
        del self._held[lease.role]
        if not self._held and self._renewal is not None:
            renewal, self._renewal = self._renewal, None
            renewal.cancel()
            await asyncio.wait([renewal])
        await self._give_back(lease)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self.release(lease)
        except StoreError as error:
            _log.warning("%s is free only when it runs out: %s", lease.role, error)

    async def _renew(self) -> None:
        """Whatever goes wrong, the next one may go well: nobody would begin this anew."""
        was_told = False
        while True:
            await self._clock.sleep(self._terms.renewal_s)
            try:
                await self._renew_once()
                was_told = False
            except Exception as error:
                if not was_told:
                    unexpected = None if isinstance(error, StoreError) else error
                    _log.warning("leases cannot be renewed now: %s", error, exc_info=unexpected)
                was_told = True
                now = self._clock.monotonic()
                for lease, task in self._held.values():
                    if not lease.believed(now):
                        _cancel_once(task)

    async def _renew_once(self) -> None:
        began = self._clock.monotonic()
        until = self._clock.epoch_s() + self._terms.lasting_s
        held = list(self._held.values())
        lost: list[str] = []
        async with self._store.transaction(serializable=False) as tx:
            for lease, _ in held:
                if not await tx.execute(_RENEW, until, lease.role, lease.owner, lease.epoch):
                    lost.append(lease.role)
        for lease, task in held:
            if lease.role in lost:
                _cancel_once(task)
            else:
                lease.until = began + self._terms.lasting_s


async def _awaited(work: Callable[[Lease], Awaitable[None]], lease: Lease) -> None:
    await work(lease)


def _cancel_once(task: asyncio.Task[None]) -> None:
    """What waits for the end of something, as of a slow disk, is not hurried by being told again."""
    if not task.cancelling():
        task.cancel()


def _is_only(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether this kind is all that went wrong; a group of tasks wraps it."""
    parts: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return all(_is_only(part, kind) for part in parts) if parts else isinstance(error, kind)


def _first(error: BaseException) -> BaseException:
    """What went wrong, without the groups round it."""
    parts: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return _first(parts[0]) if parts else error
