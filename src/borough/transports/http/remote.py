"""Calls to another process: the contract's REST over keep-alive connections.

Where a service listens is asked of `resolve` at each call, so a service may move. The deadline
travels as time left; a caller proves itself with the first request of each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from borough import errors
from borough.clock import Clock
from borough.contracts.codec import Codec, HttpArguments
from borough.contracts.marks import IDEMPOTENCY_KEY
from borough.contracts.operation import Operation
from borough.contracts.problem import Problem
from borough.errors import CallError, DeadlineExceeded, ServiceFailure
from borough.ports import Send
from borough.services.context import NO_DEADLINE, Call
from borough.transports.http import wire
from borough.transports.http.client import HttpClient, Origin

__all__ = ["RemoteTransport"]

_KNOWN: Mapping[str, type[CallError]] = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, CallError) and cls is not CallError
}


class _Document(msgspec.Struct):
    """What is read of an RFC 9457 document."""

    code: str = ""
    detail: str = ""
    retryable: bool | None = None
    errors: tuple[dict[str, str], ...] = ()


_document = msgspec.json.Decoder(_Document).decode


class _Line(msgspec.Struct):
    """One line of a stream: an item, a problem, or the end."""

    item: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    problem: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    end: bool = False


_line = msgspec.json.Decoder(_Line).decode


class RemoteTransport:
    """Calls the services that `resolve` finds, over `client`."""

    def __init__(self, client: HttpClient, resolve: Callable[[str], Origin], clock: Clock) -> None:
        self._client = client
        self._resolve = resolve
        self._clock = clock

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        codec = Codec(operation)
        return self._stream(operation, codec) if operation.stream else self._call(operation, codec)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _call(self, operation: Operation, codec: Codec) -> Send:
        method = operation.mark.method
        service = operation.contract.service
        idempotent = operation.mark.idempotent or operation.keyed
        # A derived key is derived again by whoever answers; it may be longer than a header.
        sends_key = operation.mark.idempotent_by == IDEMPOTENCY_KEY
        resolve, client, monotonic = self._resolve, self._client, self._clock.monotonic

        async def send(arguments: Sequence[Any], call: Call) -> Any:
            try:
                left = _time_left(call, monotonic())
                sent = codec.write_arguments(arguments)
                response = await client.send(
                    resolve(service),
                    method,
                    sent.target,
                    _headers(sent, call, left, call.key if sends_key else None),
                    sent.body or b"",
                    deadline=_loop_deadline(left),
                    idempotent=idempotent,
                )
                if response.status < 300:
                    fields = list(response.headers.items()) if operation.is_reply else ()
                    return codec.read_result(response.body, fields)
                after = response.headers.get("retry-after")
                raise _failure(codec, response.status, response.body, after)
            except CallError as error:
                error.about = operation.wire_name
                raise

        return send

    def _stream(self, operation: Operation, codec: Codec) -> Send:
        async def items(arguments: Sequence[Any], call: Call) -> Any:
            try:
                left = _time_left(call, self._clock.monotonic())
                sent = codec.write_arguments(arguments)
                async with self._client.stream(
                    self._resolve(operation.contract.service),
                    operation.mark.method,
                    sent.target,
                    _headers(sent, call, left),
                    sent.body or b"",
                    deadline=_loop_deadline(left),
                ) as response:
                    if response.status >= 300:
                        body = b"".join([chunk async for chunk in response])
                        after = response.headers.get("retry-after")
                        raise _failure(codec, response.status, body, after)
                    async for item in _items(codec, response):
                        yield item
            except CallError as error:
                error.about = operation.wire_name
                raise

        return items


def _loop_deadline(left: float) -> float | None:
    return None if left == NO_DEADLINE else asyncio.get_running_loop().time() + left


def _time_left(call: Call, now: float) -> float:
    left = call.deadline - now
    if left <= 0:
        raise DeadlineExceeded(f"The deadline of {call.operation} passed before it was sent")
    return left


def _headers(
    sent: HttpArguments, call: Call, left: float, key: str | None = None
) -> list[tuple[bytes, bytes]]:
    headers = list(sent.headers)
    if sent.body is not None:
        headers.append((b"content-type", sent.content_type))
    if left != NO_DEADLINE:
        headers.append((b"borough-timeout-ms", b"%d" % max(1, int(left * 1000))))
    if call.trace is not None:
        headers.append((b"traceparent", call.trace.traceparent.encode()))
    if key is not None:
        headers.append((b"idempotency-key", wire.write_idempotency_key(key)))
    if call.principal is not None:
        headers.append((b"borough-principal", wire.write_principal(call.principal)))
    return headers


async def _items(codec: Codec, chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for text in lines:
            try:
                line = _line(text)
            except msgspec.DecodeError as error:
                raise ServiceFailure(
                    f"{codec.operation.wire_name} sent a line that cannot be read: {error}"
                ) from None
            if line.end:
                return
            if not isinstance(line.problem, msgspec.UnsetType):
                raise _failure(codec, 0, bytes(line.problem), None)
            if not isinstance(line.item, msgspec.UnsetType):
                yield codec.read_result(bytes(line.item))
    raise ServiceFailure(f"The stream of {codec.operation.wire_name} broke off before its end")


def _failure(
    codec: Codec, status: int, body: bytes, retry_after: str | None
) -> CallError | Problem:
    """What an answer that is no result means: a declared problem, or the `CallError` of its code."""
    name = codec.operation.wire_name
    try:
        document = _document(body)
    except msgspec.DecodeError:
        return ServiceFailure(f"{name} answered {status} without a problem document")
    problem = codec.read_problem(document.code, body)
    if problem is not None:
        return problem
    kind = _KNOWN.get(document.code)
    if kind is None:
        return ServiceFailure(f"{name} answered {status} {document.code}: {document.detail}")
    error = kind(document.detail)
    error.errors = document.errors
    if document.retryable is not None:
        error.retryable = document.retryable  # type: ignore[misc]
    if retry_after is not None and retry_after.isdigit():
        error.retry_after_s = float(retry_after)
    return error
