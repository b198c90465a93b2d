"""A call by gRPC from its message to its answer: entrance, rate, identity, arguments, callee, message.

The door of HTTP behind the same listener says who calls, whether they may, and what the call's deadline
and key are; the entrance of the service counts the call with those that come by HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

from borough.clock import Clock
from borough.contracts.codec import reply_fields
from borough.contracts.marks import Reply
from borough.contracts.problem import Problem
from borough.ending import ended
from borough.errors import CallError, DeadlineExceeded, ServiceFailure, Unavailable
from borough.reliability.arrival import Arrival
from borough.services.context import Call
from borough.telemetry.trace import TraceContext
from borough.transports.callee import is_cancelled
from borough.transports.grpc.methods import Method
from borough.transports.grpc.statuses import Failure, failure_of
from borough.transports.http import wire
from borough.transports.http.door import Door, declared_response, problem_response
from borough.transports.http.entrance import Entrances
from borough.transports.http.message import Connection, Headers, Request, Response

__all__ = ["CallerLeft", "GrpcDoor", "Incoming"]

_log = logging.getLogger("borough.grpc")

_TAKEN = frozenset(
    {"authorization", "traceparent", "tracestate", wire.IDEMPOTENCY_KEY, "x-forwarded-for"}
)
"""What a caller may say of its call, in metadata, as in header fields of HTTP."""
_READ_AT_ONCE_BYTES = 16 * 1024
"""A message up to this size is read in the loop, for some 10 ms at most."""
_MOST_LARGE = 64
"""How many larger ones may be here at once; each is in memory until it has been read."""
_TAKEN_INSIDE = _TAKEN | {"baggage", wire.SERVICE, wire.PROOF, wire.PRINCIPAL}


class CallerLeft(Exception):
    """Nobody waits for the answer any more."""


class Incoming(Protocol):
    """A call as a listener has it."""

    headers: dict[str, bytes]
    """What the caller says of it: the metadata in `GrpcDoor.taken`, and `Borough-Timeout-Ms`."""
    connection: Connection

    async def tell(self, fields: Sequence[tuple[str, str]]) -> None:
        """Send metadata, once, ahead of any message."""
        ...

    async def write(self, message: bytes) -> None:
        """Send a message, as fast as the caller reads. Raises `CallerLeft`."""
        ...


class GrpcDoor:
    """Answers calls of one listener."""

    def __init__(
        self,
        door: Door,
        clock: Clock,
        *,
        entrances: Entrances | None = None,
        check_rate: Callable[[Request], None] | None = None,
        hold_stream: Callable[[Request], Callable[[], None]] | None = None,
        is_inside: bool = False,
    ) -> None:
        """`hold_stream` counts one until what it returns is called; it and `check_rate` raise `TooManyRequests`.
        `is_inside`: the callers are services, who may say for whom they call."""
        self._door = door
        self._monotonic = clock.monotonic
        self._entrances = entrances
        self._check_rate = check_rate
        self._hold_stream = hold_stream
        self._is_inside = is_inside
        self._reading = asyncio.Lock()  # of one large message at a time: what it becomes is larger
        self._large = 0  # messages that are read so, or wait for that
        self.taken = _TAKEN_INSIDE if is_inside else _TAKEN
        """The names of metadata that count."""

    async def unary(self, method: Method, data: bytes, incoming: Incoming) -> bytes | Failure:
        """The message of the answer, or how the call ends without one."""
        visit = _Visit(self._is_inside)
        try:
            arguments, call = await self._begin(visit, method, data, incoming)
            result = await method.route.callee.run(arguments, call)
            if method.is_reply:
                result = await _reply(result, incoming)
            return method.message(result)
        except asyncio.CancelledError as error:
            if is_cancelled():
                visit.abandon()
                raise
            return self._failure(visit, method, error)
        except Exception as error:
            return self._failure(visit, method, error)
        finally:
            visit.leave()

    async def stream(self, method: Method, data: bytes, incoming: Incoming) -> Failure | None:
        """Write every item; returns how the call ends, if it has failed. Raises `CallerLeft`."""
        visit = _Visit(self._is_inside)
        has_begun = False
        try:
            arguments, call = await self._begin(visit, method, data, incoming)
            with self.streaming(method.path, incoming):
                items = method.route.callee.stream(arguments, call)
                left_s = (
                    call.deadline - self._monotonic()
                )  # the callee lifts it after the first item
                try:
                    async with asyncio.timeout(left_s):  # of all of it: so gRPC has it
                        async for item in items:
                            has_begun = True
                            visit.leave()
                            await incoming.write(method.message(item))
                finally:
                    await items.aclose()
        except TimeoutError:
            late = DeadlineExceeded(f"{method.path} did not end in time")
            failure = self._failure(visit, method, late)
            # Once it flows, how long it lasts is the caller's affair.
            return Failure(failure.trailers) if has_begun else failure
        except CallerLeft:
            visit.abandon()
            raise
        except asyncio.CancelledError as error:
            if is_cancelled():
                visit.abandon()
                raise
            return self._failure(visit, method, error)
        except Exception as error:
            return self._failure(visit, method, error)
        finally:
            visit.leave()
        return None

    def check_rate(self, path: str, incoming: Incoming) -> None:
        """Count a question that no service answers. Raises `TooManyRequests`."""
        if self._check_rate is not None:
            self._check_rate(_asking(path, incoming))

    @contextmanager
    def streaming(self, path: str, incoming: Incoming) -> Generator[None]:
        """Count a stream among those of its client. Raises `TooManyRequests`."""
        release = None if self._hold_stream is None else self._hold_stream(_asking(path, incoming))
        try:
            yield
        finally:
            if release is not None:
                release()

    async def _begin(
        self, visit: _Visit, method: Method, data: bytes, incoming: Incoming
    ) -> tuple[tuple[Any, ...], Call]:
        """Let the call in. Raises what it is refused for."""
        operation = method.route.callee.operation
        headers = Headers(incoming.headers)
        request = Request(
            operation.mark.method, operation.path, "", headers, b"", incoming.connection
        )
        trace = visit.trace = self._door.trace_of(request)
        if self._entrances is not None:
            entrance = self._entrances.to(request.path)
            if entrance is not None:
                now = self._monotonic()
                arrival = entrance.arrive(request, visit, now, now)
                if arrival is not None and arrival.at_work:
                    visit.arrival = arrival
                else:
                    await visit.turn(arrival)
        if self._check_rate is not None:
            self._check_rate(request)
        route = method.route
        identity = await self._door.identity_for(request, route)
        arguments = await self._arguments(method, data)
        return arguments, self._door.call_for(request, route, arguments, identity, trace)

    async def _arguments(self, method: Method, data: bytes) -> tuple[Any, ...]:
        """The arguments in a message: of two bytes it may make an object, and of 1 MiB half a second's work."""
        if len(data) <= _READ_AT_ONCE_BYTES:
            return method.arguments(data)
        if self._large >= _MOST_LARGE:
            raise Unavailable("Too many large messages wait to be read", retry_after_s=1)
        self._large += 1
        try:
            async with self._reading:
                # Whoever has left still counts as the one until its thread has ended.
                return await ended(asyncio.ensure_future(asyncio.to_thread(method.arguments, data)))
        finally:
            self._large -= 1

    def _failure(self, visit: _Visit, method: Method, error: BaseException) -> Failure:
        trace = visit.trace
        if visit.refusal is not None:
            return failure_of(visit.refusal)
        if isinstance(error, Problem):
            code = method.route.codec.code_of(error)
            own = None if code is None else method.problem_message(error, code)
            return failure_of(declared_response(error, method.route, trace), own)
        if isinstance(error, CallError):
            return failure_of(problem_response(error, trace))
        _log.error("%s failed", method.path, exc_info=error)
        return failure_of(problem_response(ServiceFailure("The service failed"), trace))


def _asking(path: str, incoming: Incoming) -> Request:
    """Who asks, as HTTP has it."""
    return Request("POST", path, "", Headers(incoming.headers), b"", incoming.connection)


class _Refused(Exception):
    """The entrance did not let a call in; the visit knows why."""


class _Visit:
    """One call at the entrance of its service, which takes it as a `Waiter`."""

    __slots__ = ("_turn", "arrival", "is_inside", "refusal", "trace")

    def __init__(self, is_inside: bool) -> None:
        self.is_inside = is_inside
        self.refusal: Response | None = None
        self.trace: TraceContext | None = None
        self.arrival: Arrival | None = None
        """Set once the call has begun, until it has ended."""
        self._turn: asyncio.Future[None] | None = None

    async def turn(self, arrival: Arrival | None) -> None:
        """Wait until the call may begin; without an arrival it was refused. Raises `_Refused`."""
        if arrival is None:
            raise _Refused
        self._turn = asyncio.get_running_loop().create_future()
        try:
            await self._turn
        except asyncio.CancelledError:
            if arrival.at_work:
                arrival.entrance.abandon(arrival)
            else:
                arrival.entrance.forget(arrival)
            raise
        if self.refusal is not None:
            raise _Refused
        self.arrival = arrival

    def begin(self) -> None:
        """See `Waiter`."""
        self._go_on()

    def turn_away(self, response: Response) -> None:
        """See `Waiter`."""
        self.refusal = response
        self._go_on()

    def _go_on(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def leave(self) -> None:
        """The call has ended, or is a stream now."""
        arrival, self.arrival = self.arrival, None
        if arrival is not None:
            arrival.entrance.leave(arrival)

    def abandon(self) -> None:
        """Who called has left."""
        arrival, self.arrival = self.arrival, None
        if arrival is not None:
            arrival.entrance.abandon(arrival)


async def _reply(reply: Any, incoming: Incoming) -> Any:
    """The value of a reply; its header fields, cookies and ETag go ahead as metadata."""
    if not isinstance(reply, Reply):
        return reply
    fields = reply_fields(cast("Any", reply))
    await incoming.tell([each for each in fields if each[1].isascii()])
    return cast("Any", reply).value
