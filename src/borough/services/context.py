"""The call at hand: who calls, on whose behalf, until when, in which trace.

One `Call` lives in a context variable of the running handler; an outgoing call is made from it.
It is made by the runtime, never from parameters, so that nobody can claim to be somebody else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar, cast
from weakref import ReferenceType

import msgspec

from borough.errors import BoroughError, Unauthenticated
from borough.telemetry.trace import TraceContext, read_baggage

__all__ = ["Call", "Principal", "WorkPool", "current_call", "in_thread", "where"]

T = TypeVar("T")

NO_DEADLINE = float("inf")


class _Claims(dict[str, Any]):
    """Claims that stay as they are: all requests of a token share them. Inside, too."""

    def __init__(self, claims: Mapping[str, Any]) -> None:
        super().__init__({name: _settled(value) for name, value in claims.items()})

    def __reduce__(self) -> tuple[type[_Claims], tuple[dict[str, Any]]]:
        return _Claims, (dict(self),)


def _refuse(*_: Any, **__: Any) -> Any:
    raise TypeError("the claims of an end user cannot be changed")


for _name in (
    "__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"
):  # fmt: skip
    setattr(_Claims, _name, _refuse)


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return _Claims(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return tuple(map(_settled, cast("list[object]", value)))
    return value


class Principal(msgspec.Struct, frozen=True):
    """The end user a call is made for: subject of the token, its scopes and its other claims.

    Nothing of it can be changed: a list among the claims is a tuple here.
    """

    subject: str
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, Any] = _Claims({})

    def __post_init__(self) -> None:
        if type(self.claims) is not _Claims:
            msgspec.structs.force_setattr(self, "claims", _Claims(self.claims))


class WorkPool(Protocol):
    """A service's bounded threads."""

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function(*args)` in a thread, with the caller's context; raises `Unavailable` when full."""
        ...


class Call(msgspec.Struct, frozen=True, gc=False):
    """One call as its handler sees it. Made by the runtime; a struct, since one is made for every call.

    It is frozen, so that no handler calls on as somebody else; the runtime alone sets what time brings.
    """

    operation: str
    """The wire name; a handler's durable name while an event is handled."""
    service: str
    """The service that handles it."""
    caller: str | None
    """The calling service, None at the edge."""
    principal: Principal | None
    """The end user that it is made for."""
    deadline: float
    """When time is up, in seconds on the monotonic clock."""
    trace: TraceContext | None
    key: str | None = None
    """The idempotency key in force."""
    event_id: str | None = None
    """Set while an event is handled: its id, after its source where that is not the topic's own publisher."""
    pool: WorkPool | None = None
    """The service's threads."""
    armed: float = NO_DEADLINE
    """The earliest deadline for which a timer runs already, in the task `armed_in`."""
    armed_in: ReferenceType[Any] | None = None
    """Weakly: the collector does not look into a `Call`, and a cancelled task would keep itself alive by it."""
    mark: object = None
    """What a keyed operation holds its key with."""
    is_remote: bool = False
    """Whether it came over a wire."""
    made: dict[str, int] | None = None
    """How often this run of an event's handler has called each keyed operation; None elsewhere."""
    partial: str = ""
    """Its span id where its trace is not sampled and something below it ended badly or late."""
    keeps_to_s: float | None = None
    """The operation's own time in seconds, where whoever called would have given it more."""

    @property
    def user(self) -> Principal:
        """The end user; raises `Unauthenticated` where the call is made for nobody."""
        if self.principal is None:
            raise Unauthenticated(f"{self.operation} needs a signed-in user")
        return self.principal

    @property
    def baggage(self) -> dict[str, str]:
        """What travels along with the trace, by name; callers have put it there, and anybody may read it."""
        return {} if self.trace is None else read_baggage(self.trace.baggage)


class OpenTransaction(Protocol):
    """What tells whether a transaction is still open, also to tasks that were begun inside it."""

    is_open: bool


IN_TRANSACTION: ContextVar[OpenTransaction | None] = ContextVar(
    "borough_in_transaction", default=None
)
"""The transaction that was begun here last. It may have ended elsewhere, so ask `is_open`."""


def inside_transaction() -> bool:
    """Whether a transaction of this service is open here; calls to others are then refused."""
    transaction = IN_TRANSACTION.get()
    return transaction is not None and transaction.is_open


CURRENT: ContextVar[Call | None] = ContextVar("borough_call", default=None)


def current_call() -> Call:
    """The call being handled. Raises `BoroughError` outside of one."""
    call = CURRENT.get()
    if call is None:
        raise BoroughError("current_call() was used outside of a call; only handlers have one")
    return call


def where() -> tuple[str, TraceContext | None] | None:
    """The service that is at work here and its trace, for whoever writes a log line."""
    call = CURRENT.get()
    return None if call is None else (call.service, call.trace)


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run blocking work in the service's bounded pool; inline where no service is running (unit tests).

    Raises `Unavailable` when the pool and its queue are full, and `TypeError` for an async function, which
    blocks nothing and would not have run. The deadline does not stop a thread.
    """
    call = CURRENT.get()
    if call is None or call.pool is None:
        found = function(*args)
    else:
        found = await call.pool.run(function, *args)
    if inspect.iscoroutine(found):
        found.close()
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"in_thread was given {name}, which is async and has not run; write `await` in its place"
        )
    return found
