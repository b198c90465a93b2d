"""How calls to another process are seen by who makes them: the client's span, and how long they took."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec.structs import force_setattr

from borough.contracts.operation import Operation
from borough.ports import Send, Transport
from borough.services.context import CURRENT, Call
from borough.telemetry.durations import Durations
from borough.telemetry.measures import Measured
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Shape, Span
from borough.telemetry.trace import TraceContext
from borough.transports.sight import (
    client_shape,
    failure_of,
    least_time_s,
    partial_of,
    unless_hurried,
)

__all__ = ["ClientSight", "SeenTransport"]


class SeenTransport:
    """Another transport whose calls are seen by who makes them."""

    def __init__(self, inner: Transport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        sight, send = ClientSight(operation, self._recorder), self._inner.bind(operation)
        return sight.seen_stream(send) if operation.stream else sight.seen(send)

    async def close(self) -> None:
        """Close the other one."""
        await self._inner.close()


class ClientSight:
    """Calls to an operation elsewhere, from before their first attempt to their answer."""

    __slots__ = ("_least_s", "_measured", "_operation", "_recorder", "_shapes")

    def __init__(self, operation: Operation, recorder: Recorder) -> None:
        self._operation = operation
        self._recorder = recorder
        self._least_s = least_time_s(operation, recorder)
        self._shapes: dict[str | None, Shape] = {}
        self._measured: dict[str | None, Measured] = {}

    def seen(self, send: Send) -> Send:
        """The same way, seen."""

        async def seen(arguments: Sequence[Any], call: Call) -> Any:
            parent = self._begin(call)
            began, failure = self._recorder.monotonic(), None
            try:
                return await send(arguments, call)
            except BaseException as error:
                failure = failure_of(error)
                raise
            finally:
                self._end(call, parent, began, failure)

        return seen

    def seen_stream(self, send: Send) -> Send:
        """The same way of a stream, seen until it has been left."""

        async def items(arguments: Sequence[Any], call: Call) -> AsyncIterator[Any]:
            parent = self._begin(call)
            began, failure = self._recorder.monotonic(), None
            stream = send(arguments, call)
            try:
                async for item in stream:
                    yield item
            except GeneratorExit:
                raise
            except BaseException as error:
                failure = failure_of(error)
                raise
            finally:
                await stream.aclose()
                self._end(call, parent, began, failure, is_stream=True)

        return items

    def _begin(self, call: Call) -> TraceContext | None:
        """The call goes out under a span id of its own, sampled or not: whoever answers names it."""
        parent = call.trace
        if parent is not None:
            force_setattr(call, "trace", parent.child(self._recorder.new_id()))
        return parent

    def _measure(self, caller: str | None) -> Measured:
        """One caller's calls."""
        service = caller or self._operation.contract.service
        shape = self._shapes[caller] = client_shape(self._operation, service)
        found = self._measured[caller] = self._recorder.measures.add(
            "rpc.client.call.duration",
            "Calls to another process, where they are made",
            service,
            shape.attributes,
            Durations(),
        )
        return found

    def _end(
        self,
        call: Call,
        parent: TraceContext | None,
        began: float,
        failure: Failure | None,
        *,
        is_stream: bool = False,
    ) -> None:
        recorder = self._recorder
        ended = recorder.monotonic()
        measured = self._measured.get(call.caller) or self._measure(call.caller)
        measured.durations.add(ended - began)
        if failure is not None:
            failure = unless_hurried(failure, call, (began, ended), self._least_s)
            measured.fail(failure)
        own = call.trace
        if parent is None or own is None:
            return
        is_sampled = parent.is_sampled
        above = parent.parent
        if not is_sampled:
            is_late = ended - began >= recorder.slow_s and not is_stream
            if not (is_late or call.partial or (failure is not None and failure.is_fault)):
                return
            outer = CURRENT.get()
            if outer is not None and outer.operation:
                above = partial_of(outer, recorder)
        shape = self._shapes[call.caller]
        recorder.add(Span(shape, own, above, began, ended, failure, is_partial=not is_sampled))
