"""The call at hand: who calls, on whose behalf, until when, in which trace.

One `Call` lives in a context variable of the running handler; an outgoing call is made from it.
It is made by the runtime, never from parameters, so that nobody can claim to be somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import msgspec

from borough.errors import BoroughError, Unauthenticated
from borough.telemetry.trace import TraceContext

__all__ = ["Call", "Principal", "WorkPool", "current_call", "in_thread"]

T = TypeVar("T")

NO_DEADLINE = float("inf")


class Principal(msgspec.Struct, frozen=True):
    """The end user a call is made for: subject of the token, its scopes and its other claims."""

    subject: str
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Any] = {}


class WorkPool(Protocol):
    """A service's bounded threads."""

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` in a thread, with the caller's context; raises `Unavailable` when full."""
        ...


class Call:
    """One call as its handler sees it.

    `operation` is the wire name, `caller` the calling service (None at the edge), `deadline` a point
    on the monotonic clock in seconds, `key` the idempotency key in force, `scopes` of `principal`
    say what the end user may do. `event_id` is set while an event is handled. `armed` is the earliest
    deadline for which a timer runs already, `mark` what a keyed operation holds its key with.
    """

    __slots__ = ("armed", "caller", "deadline", "event_id", "key", "mark", "operation", "pool", "principal", "service", "trace")

    def __init__(
        self,
        operation: str,
        service: str,
        caller: str | None,
        principal: Principal | None,
        deadline: float,
        trace: TraceContext | None,
        key: str | None = None,
        event_id: str | None = None,
        pool: WorkPool | None = None,
    ) -> None:
        self.armed = NO_DEADLINE
        self.mark: object = None
        self.operation = operation
        self.service = service
        self.caller = caller
        self.principal = principal
        self.deadline = deadline
        self.trace = trace
        self.key = key
        self.event_id = event_id
        self.pool = pool

    @property
    def user(self) -> Principal:
        """The end user; raises `Unauthenticated` where the call is made for nobody."""
        if self.principal is None:
            raise Unauthenticated(f"{self.operation} needs a signed-in user")
        return self.principal


IN_TRANSACTION: ContextVar[bool] = ContextVar("borough_in_transaction", default=False)
"""Whether a transaction of this service is open here; calls to other services are then refused."""

CURRENT: ContextVar[Call | None] = ContextVar("borough_call", default=None)


def current_call() -> Call:
    """The call being handled. Raises `BoroughError` outside of one."""
    call = CURRENT.get()
    if call is None:
        raise BoroughError("current_call() was used outside of a call; only handlers have one")
    return call


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run blocking work in the service's bounded pool; inline where no service is running (unit tests).

    Raises `Unavailable` when the pool and its queue are full. The deadline does not stop a thread.
    """
    call = CURRENT.get()
    if call is None or call.pool is None:
        return function(*args)
    return await call.pool.run(function, *args)
