"""Calls to another process: the contract's REST over keep-alive connections.

Here arguments become a request, and an answer becomes a result, a problem or an error. To which replica it
goes, and what is done when that fails, is the dependency's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec.structs import force_setattr

from borough import errors
from borough.contracts.codec import Codec, HttpArguments
from borough.contracts.marks import IDEMPOTENCY_KEY
from borough.contracts.operation import Operation
from borough.contracts.problem import Problem
from borough.contracts.unreadable import UNREADABLE
from borough.errors import CallError, ServiceFailure
from borough.ports import Send
from borough.reliability.retry_after import retry_after_s
from borough.services.context import Call
from borough.telemetry.recorder import Recorder
from borough.telemetry.trace import TraceContext
from borough.transports.client_sight import ClientSight
from borough.transports.http import wire
from borough.transports.http.client import ClientStream, sendable
from borough.transports.http.dependency import Dependencies, RequestKind

__all__ = ["RemoteTransport"]

_KNOWN: Mapping[str, type[CallError]] = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, CallError) and cls is not CallError
} | {"url-too-long": errors.TooLarge, "head-too-large": errors.TooLarge}


class _Document(msgspec.Struct):
    """What is read of an RFC 9457 document."""

    code: str = ""
    title: str = ""
    detail: str = ""
    retryable: bool | None = None
    errors: tuple[dict[str, str], ...] = ()


_document = msgspec.json.Decoder(_Document).decode


class _Line(msgspec.Struct):
    """One line of a stream: an item, a problem, or the end."""

    item: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    problem: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    retry_after_s: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Beside a problem what `Retry-After` is where it has an answer of its own."""
    end: bool = False


_line = msgspec.json.Decoder(_Line).decode


class RemoteTransport:
    """Calls other services as `dependencies` says."""

    def __init__(self, dependencies: Dependencies, recorder: Recorder | None = None) -> None:
        self._dependencies = dependencies
        self._recorder = recorder

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        codec = Codec(operation)
        is_stream = operation.stream
        send = self._stream(operation, codec) if is_stream else self._call(operation, codec)
        if self._recorder is None:
            return send
        sight = ClientSight(operation, self._recorder)
        return sight.seen_stream(send) if is_stream else sight.seen(send)

    async def close(self) -> None:
        """Close the connections."""
        await self._dependencies.close()

    def _call(self, operation: Operation, codec: Codec) -> Send:
        method, wire_name = operation.mark.method, operation.wire_name
        idempotent = operation.mark.idempotent or operation.keyed
        # A derived key is derived again by whoever answers; it may be longer than a header.
        sends_key = operation.mark.idempotent_by == IDEMPOTENCY_KEY
        needs_key = sends_key and not operation.mark.idempotent
        dependency = self._dependencies.of(operation.contract.service)
        path = operation.path
        usual = RequestKind(method, path, idempotent, wire_name)

        async def send(arguments: Sequence[Any], call: Call) -> Any:
            try:
                sent = codec.write_arguments(arguments)
                kind = usual
                if sent.target != path or (needs_key and call.key is None):
                    # Without its key an operation runs as often as it is sent.
                    may_repeat = idempotent and not (needs_key and call.key is None)
                    kind = RequestKind(method, sent.target, may_repeat, wire_name)
                response = await dependency.send(
                    kind,
                    _fields(sent, call, call.key if sends_key else None),
                    sent.body or b"",
                    call.deadline,
                    call.trace,
                )
                if wire.PARTIAL in response.headers.raw and call.trace is not None:
                    force_setattr(call, "partial", call.trace.span_id)
                if response.status < 300:
                    fields = list(response.headers.items()) if operation.is_reply else ()
                    return codec.read_result(response.body, fields)
                after_s = retry_after_s(response.headers.get("retry-after"))
                raise _failure(codec, response.status, response.body, after_s)
            except CallError as error:
                error.about = wire_name
                raise

        return send

    def _stream(self, operation: Operation, codec: Codec) -> Send:
        mark, wire_name = operation.mark, operation.wire_name
        dependency = self._dependencies.of(operation.contract.service)

        async def items(arguments: Sequence[Any], call: Call) -> Any:
            try:
                sent = codec.write_arguments(arguments)
                kind = RequestKind(mark.method, sent.target, mark.idempotent, wire_name)
                async with dependency.open(
                    kind, _fields(sent, call), sent.body or b"", call.deadline, call.trace
                ) as response:
                    if response.status >= 300:
                        after_s = retry_after_s(response.headers.get("retry-after"))
                        raise _failure(codec, response.status, await response.read(), after_s)
                    async for item in _items(codec, response):
                        yield item
            except CallError as error:
                error.about = wire_name
                raise

        return items


def _fields(sent: HttpArguments, call: Call, key: str | None = None) -> bytes:
    """The header fields of a call, as they are sent."""
    fields = sendable(sent.headers) if sent.headers else b""
    if sent.body is not None:
        fields = b"%bcontent-type: %b\r\n" % (fields, sent.content_type)
    if call.trace is not None:
        if call.trace.state or call.trace.baggage:
            fields += _beside(call.trace)
        fields = b"%btraceparent: %b\r\n" % (fields, call.trace.traceparent.encode())
    if key is not None:
        fields += sendable([(b"idempotency-key", wire.write_idempotency_key(key))])
    if call.principal is not None:
        fields = b"%bborough-principal: %b\r\n" % (fields, wire.write_principal(call.principal))
    return fields


def _beside(trace: TraceContext) -> bytes:
    """What travels beside the ids; it was read from a header."""
    given = ((b"tracestate", trace.state), (b"baggage", trace.baggage))
    return sendable([(name, value.encode("latin-1")) for name, value in given if value])


async def _items(codec: Codec, stream: ClientStream) -> AsyncIterator[Any]:
    begun: list[bytes] = []
    size, most = 0, stream.most_bytes
    async for chunk in stream:
        *lines, rest = chunk.split(b"\n")
        if lines and begun:
            lines[0] = b"".join((*begun, lines[0]))
            begun, size = [], 0
        if rest:
            begun.append(rest)
            size += len(rest)
        if size > most or (lines and len(lines[0]) > most):
            raise ServiceFailure(
                f"{codec.operation.wire_name} sent a line of more than {most} bytes"
            )
        for text in lines:
            try:
                line = _line(text)
            except UNREADABLE as error:
                raise ServiceFailure(
                    f"{codec.operation.wire_name} sent a line that cannot be read: {error}"
                ) from None
            if line.end:
                return
            if not isinstance(line.problem, msgspec.UnsetType):
                raise _failure(codec, 0, bytes(line.problem), line.retry_after_s)
            if not isinstance(line.item, msgspec.UnsetType):
                yield codec.read_result(bytes(line.item))
    raise ServiceFailure(f"The stream of {codec.operation.wire_name} broke off before its end")


def _failure(codec: Codec, status: int, body: bytes, after_s: float | None) -> CallError | Problem:
    """What an answer that is no result means: a declared problem, or the `CallError` of its code."""
    name = codec.operation.wire_name
    try:
        document = _document(body)
    except UNREADABLE:
        return ServiceFailure(f"{name} answered {status} without a problem document")
    problem = codec.read_problem(document.code, body)
    if problem is not None:
        return problem
    kind = _KNOWN.get(document.code)
    if kind is None:
        told = filter(None, (document.code or document.title, document.detail))
        return ServiceFailure(f"{name} answered {status} {': '.join(told)}".rstrip())
    error = kind(document.detail)
    error.errors = document.errors
    if document.retryable is not None:
        error.retryable = document.retryable  # type: ignore[misc]
    if after_s is not None:
        error.retry_after_s = after_s
    return error
