"""Calls to a gRPC server elsewhere, by a contract that `borough contracts import` has written of its `.proto`.

The compiled file says how messages lie in bytes; values are what protobuf's JSON mapping makes of them.
The time left goes out as `grpc-timeout`. Of a stream it is for the first item and kept here, as is the idle limit of
each next one; a day goes out, of which a server takes what it allows. Nothing is sent again by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import grpc
import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from borough.clock import Clock
from borough.contracts.operation import Operation
from borough.errors import (
    CallError,
    ConfigurationError,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    NotFound,
    ServiceFailure,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from borough.ports import Send
from borough.services.context import Call

__all__ = ["GrpcMethods", "GrpcTransport"]

_ERRORS: dict[grpc.StatusCode, type[CallError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNIMPLEMENTED: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooManyRequests,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
_LONGEST_S = 86_400.0
_NOT_CONNECTED = "failed to connect"
_TEXTS = frozenset({"Timestamp", "Duration", "FieldMask"})
"""Well-known messages that are a text in JSON."""


class GrpcMethods:
    """The methods of a compiled file."""

    def __init__(self, content: bytes, option: str) -> None:
        """Raises `ConfigurationError`, which names `option`, for what is no compiled file."""
        self._pool = DescriptorPool()
        try:
            for file in FileDescriptorSet.FromString(content).file:
                self._pool.Add(file)
        except (DecodeError, TypeError) as error:
            raise ConfigurationError(
                f"{option} is no compiled .proto file: {error}; name the .binpb that "
                "`borough contracts import` has written"
            ) from None
        self._option = option

    def find(self, operation: Operation) -> MethodDescriptor:
        """The method of an operation. Raises `ConfigurationError` where the file has none."""
        path = operation.path.removeprefix(f"/{operation.contract.service}/")
        service, _, name = path.rpartition("/")
        try:
            method = self._pool.FindServiceByName(service).FindMethodByName(name)
        except KeyError:
            method = None
        if method is None:
            raise ConfigurationError(
                f"{self._option} has no method {path}, which {operation.wire_name} is; "
                "import the contract again"
            )
        return method


class GrpcTransport:
    """The way to one gRPC server. `target` is `host:port`; `fields` go with every call."""

    def __init__(
        self,
        target: str,
        methods: GrpcMethods,
        clock: Clock,
        *,
        is_secure: bool,
        stream_idle_s: float,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._target = target
        self._methods = methods
        self._clock = clock
        self._is_secure = is_secure
        self._stream_idle_s = stream_idle_s
        self._fields = tuple(fields)
        self._open: grpc.aio.Channel | None = None

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        method = self._methods.find(operation)
        request = GetMessageClass(method.input_type)
        answer = GetMessageClass(method.output_type)
        path = f"/{method.containing_service.full_name}/{method.name}"
        words: dict[str, Any] = {
            "request_serializer": request.SerializeToString,
            "response_deserializer": answer.FromString,
        }
        reading = _Reading(operation, method.output_type)

        def written(arguments: Sequence[Any]) -> Message:
            return _message(request, arguments, operation)

        if operation.stream:
            return self._stream(
                operation, lambda: self._channel().unary_stream(path, **words), written, reading
            )
        return self._call(
            operation, lambda: self._channel().unary_unary(path, **words), written, reading
        )

    def _channel(self) -> grpc.aio.Channel:
        # Made when it is first needed: it belongs to the loop that calls.
        if self._open is None:
            self._open = (
                grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials())
                if self._is_secure
                else grpc.aio.insecure_channel(self._target)
            )
        return self._open

    def _call(self, operation: Operation, bound: Any, written: Any, reading: _Reading) -> Send:
        async def send(arguments: Sequence[Any], call: Call) -> Any:
            left_s = self._left_s(operation, call)
            try:
                answer = await bound()(
                    written(arguments),
                    timeout=min(left_s, _LONGEST_S),  # a call within a stream has no deadline
                    metadata=self._metadata(call),
                )
            except grpc.aio.AioRpcError as error:
                raise _failure(operation, error) from None
            return reading.value(answer)

        return send

    def _stream(self, operation: Operation, bound: Any, written: Any, reading: _Reading) -> Send:
        async def items(arguments: Sequence[Any], call: Call) -> Any:
            left_s, late = self._left_s(operation, call), _is_late
            # Without one a server may have a short time of its own for the whole of it.
            running = bound()(written(arguments), timeout=_LONGEST_S, metadata=self._metadata(call))
            try:
                while True:
                    try:
                        async with asyncio.timeout(left_s):
                            answer = await running.read()
                    except TimeoutError:
                        raise late(operation) from None
                    if answer is grpc.aio.EOF:
                        return
                    left_s, late = self._stream_idle_s, _is_silent
                    yield reading.value(answer)
            except grpc.aio.AioRpcError as error:
                raise _failure(operation, error) from None
            finally:
                running.cancel()

        return items

    def _left_s(self, operation: Operation, call: Call) -> float:
        left_s = call.deadline - self._clock.monotonic()
        if left_s <= 0:
            raise _is_late(operation)
        return left_s

    def _metadata(self, call: Call) -> tuple[tuple[str, str], ...]:
        if call.trace is None:
            return self._fields
        return (*self._fields, ("traceparent", call.trace.traceparent))

    async def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            await self._open.close()


def _is_late(operation: Operation) -> CallError:
    return _about(DeadlineExceeded(f"{operation.wire_name} did not answer in time"), operation)


def _is_silent(operation: Operation) -> CallError:
    return _about(ServiceFailure(f"{operation.wire_name} fell silent within a stream"), operation)


def _about(error: CallError, operation: Operation) -> CallError:
    error.about = operation.wire_name
    return error


def _failure(operation: Operation, error: grpc.aio.AioRpcError) -> CallError:
    """What a status means. Whether something has run, only a failed connection tells for sure."""
    code, detail = error.code(), error.details() or ""
    kind = _ERRORS.get(code, ServiceFailure)
    found = kind(f"{operation.wire_name} answered {code.name}: {detail}")
    if found.retryable and _NOT_CONNECTED not in detail:
        found.retryable = False  # type: ignore[misc]
    return _about(found, operation)


def _message(kind: Any, arguments: Sequence[Any], operation: Operation) -> Message:
    """The request of an operation. Raises `InvalidRequest` for what its message cannot carry."""
    value: Any = msgspec.to_builtins(arguments[0]) if arguments else {}
    try:
        return cast(Message, ParseDict(value, kind()))
    except ParseError as error:
        raise _about(InvalidRequest(f"{operation.wire_name}: {error}"), operation) from None


class _Reading:
    """Makes values of an operation's answers."""

    def __init__(self, operation: Operation, kind: Descriptor) -> None:
        self._operation = operation
        self._is_empty = operation.result is type(None)
        self._kind = kind

    def value(self, answer: Message) -> Any:
        """The value. Raises `ServiceFailure` where it does not fit the contract."""
        if self._is_empty:
            return None
        try:
            return msgspec.convert(_told(answer), self._operation.result)
        except msgspec.ValidationError as error:
            message = f"{self._operation.wire_name} answered out of contract: {error}"
            raise _about(ServiceFailure(message), self._operation) from None


def _told(message: Message) -> Any:
    """A message as data, by the names of the file."""
    kind: Any = message.DESCRIPTOR
    if kind.file.package == "google.protobuf":
        known: Any = message
        return known.ToJsonString() if kind.name in _TEXTS else known.value
    found: dict[str, Any] = {}
    for field in kind.fields:
        value = getattr(message, field.name)
        if _is_map(field):
            inner = field.message_type.fields_by_name["value"]
            found[field.name] = {_key(key): _one(inner, value[key]) for key in value}
        elif field.is_repeated:
            found[field.name] = [_one(field, each) for each in value]
        elif field.has_presence and not message.HasField(field.name):
            found[field.name] = None
        else:
            found[field.name] = _one(field, value)
    return found


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _key(key: Any) -> str:
    return ("true" if key else "false") if isinstance(key, bool) else str(key)


def _one(field: Any, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _told(value)
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        # A number that the file does not know: to the contract it is a text that it does not know.
        return f"#{value}" if known is None else known.name
    return value
