"""Starts the product with a fault planted in it: `python -m rigs.planted FAULT run PATH ...`.

The product has no branch for this: its functions are replaced in this process before it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import Any

from borough.cli import main
from borough.errors import BoroughError, ServiceFailure
from borough.fleet.supervisor import Supervisor
from borough.observing.outlet import Outlet
from borough.ports import Message
from borough.reliability.lease import Lease
from borough.reliability.resequencing import Resequencer
from borough.runtime import handling, parking, positions, relay, scheduled
from borough.runtime.handling import Handling, Outcome
from borough.runtime.parking import Parking
from borough.runtime.push import Receiver
from borough.runtime.relay import Relay
from borough.services.context import NO_DEADLINE
from borough.stores.postgres.transaction import PostgresTransaction
from borough.stores.sqlite.transaction import SqliteTransaction
from borough.stores.sqlite.writer import Writer
from borough.transports.failures import Failures
from borough.transports.http.dependency import Dependency, RequestKind

LAG_S = 0.25
WAITED_S = 1.0


def replace(owner: Any, name: str, function: Any) -> None:
    """Put a function in the place of the product's. Raises `AttributeError` where it has none of that name."""
    getattr(owner, name)
    setattr(owner, name, function)


def forget_the_inbox() -> None:
    """What has been handled is noted as ever, and handled again when it comes again."""
    enter = Handling._enter

    async def always(
        self: Handling, tx: Any, message: Message, lease: Lease, key: str | None
    ) -> Outcome:
        outcome = await enter(self, tx, message, lease, key)
        return Outcome.DONE if outcome is Outcome.DUPLICATE else outcome

    replace(Handling, "_enter", always)


def acknowledge_before_commit() -> None:
    """Who waits for the witness to commit is told that it has, and then it begins to.

    Nobody reads there what was just written: only a crash shows it.
    """
    commit: Any = Writer._commit

    def tell(self: Any) -> None:
        members, self._members = self._members, []
        for body in members:
            body.settle(None)

    def late(self: Any, *rest: Any) -> Any:
        if self._path.endswith("witness.db"):
            self.loop.call_soon_threadsafe(tell, self)
            time.sleep(LAG_S)
        return commit(self, *rest)

    replace(Writer, "_commit", late)
    commit_there: Any = PostgresTransaction._commit
    committing: set[asyncio.Future[Any]] = set()

    async def later(self: Any, due: float) -> None:
        await asyncio.sleep(LAG_S)
        await commit_there(self, due + LAG_S)

    async def at_once(self: Any, due: float) -> Any:
        if not self._pool._name.endswith("/witness") or not self.outbox:
            return await commit_there(self, due)
        task = asyncio.ensure_future(later(self, due))
        committing.add(task)
        task.add_done_callback(committing.discard)
        return None

    replace(PostgresTransaction, "_commit", at_once)


def acknowledge_what_failed() -> None:
    """Who waits for a COMMIT is told that it went well, although it has failed."""
    settle = SqliteTransaction.settle
    replace(SqliteTransaction, "settle", lambda self, _failure: settle(self, None))


def move_nothing_again() -> None:
    """The relay rests for ever after its first failure, or the first time that it has to wait for its broker."""
    move: Any = Relay._move
    waited: set[int] = set()

    async def once(self: Relay, lease: Lease) -> Any:
        if self.failed or id(self) in waited:
            return 0
        began = time.monotonic()
        try:
            return await move(self, lease)
        finally:
            if time.monotonic() - began > WAITED_S:
                waited.add(id(self))

    replace(Relay, "_move", once)


def fail_unkindly() -> None:
    """A database that cannot be had is told as the service's own failure."""
    replace(Failures, "_failure", lambda self, error, call: ServiceFailure(f"failed: {error}"))


def believe_past_holders() -> None:
    """Who once had a role may write for ever."""

    async def believe(_tx: Any, _lease: Lease) -> None:
        return None

    for module in (handling, parking, positions, relay, scheduled):
        replace(module, "check_lease", believe)
    exists = "exists (select 1 from borough_leases where role = $5 and owner = $6 and epoch = $7)"
    assert exists in handling._ENTER
    given = "($5 is not null and $6 is not null and $7 is not null)"
    replace(handling, "_ENTER", handling._ENTER.replace(exists, given))


def pass_at_once() -> None:
    """Nothing waits for the event before it."""

    def offer(_self: Any, _number: int, _before: int, item: Any, _now: float) -> list[Any]:
        return [item]

    replace(Resequencer, "offer", offer)


def send_twice() -> None:
    """The caller takes every request for one that may be sent again."""
    send: Any = Dependency.send

    def repeat(self: Any, kind: RequestKind, *rest: Any) -> Any:
        kind.idempotent = True
        return send(self, kind, *rest)

    replace(Dependency, "send", repeat)


def wait_for_ever() -> None:
    """The caller looks at no deadline."""
    send: Any = Dependency.send

    def wait(self: Any, kind: RequestKind, fields: bytes, body: bytes, _deadline: float) -> Any:
        return send(self, kind, fields, body, NO_DEADLINE)

    replace(Dependency, "send", wait)


def lose_dead_letters() -> None:
    """What is given up is given up without a word."""
    where = "from borough_parked where number = $1"
    assert where in parking._BURY
    replace(parking, "_BURY", parking._BURY.replace(where, f"{where} and $1 is null"))


def park_slowly() -> None:
    """Everybody waits while an event is put aside."""
    park: Any = Parking.park

    async def slow(self: Parking, *rest: Any) -> Any:
        time.sleep(0.3)  # noqa: ASYNC251 - that is the fault
        return await park(self, *rest)

    replace(Parking, "park", slow)


def end_before_leaving() -> None:
    """A replica ends at once, while everybody is still told that it takes calls."""
    see_off: Any = Supervisor.see_off

    async def early(self: Supervisor, members: Any) -> None:
        for member in members:
            member._leave.set()
            member.kill()
        await asyncio.sleep(0.5)
        await see_off(self, members)

    replace(Supervisor, "see_off", early)


def push_once() -> None:
    """Whatever becomes of a push, its event is taken for delivered."""
    deliver: Any = Receiver.deliver

    async def careless(self: Receiver, document: bytes) -> None:
        with contextlib.suppress(BoroughError):
            await deliver(self, document)

    replace(Receiver, "deliver", careless)


def keep_every_batch() -> None:
    """What waits for a collector is bounded, and kept beside that without any bound."""
    put: Any = Outlet.put
    kept: list[bytes] = []

    def hoard(self: Outlet, signal: Any, data: bytes, count: int) -> None:
        kept.append(b"x" * 8 * 1024 * 1024)
        put(self, signal, data, count)

    replace(Outlet, "put", hoard)


def wait_for_the_collector() -> None:
    """Everybody waits while telemetry is on its way."""
    put: Any = Outlet.put

    def slow(self: Outlet, *rest: Any) -> None:
        time.sleep(0.7)
        put(self, *rest)

    replace(Outlet, "put", slow)


FAULTS = {
    "hoarding": keep_every_batch,
    "waited-for": wait_for_the_collector,
    "careless": push_once,
    "early-end": end_before_leaving,
    "letters": lose_dead_letters,
    "slow-parking": park_slowly,
    "twice": send_twice,
    "deadline": wait_for_ever,
    "order": pass_at_once,
    "fence": believe_past_holders,
    "inbox": forget_the_inbox,
    "acknowledged": acknowledge_before_commit,
    "acknowledged-though-failed": acknowledge_what_failed,
    "never-moved-again": move_nothing_again,
    "answered-with-500": fail_unkindly,
}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
