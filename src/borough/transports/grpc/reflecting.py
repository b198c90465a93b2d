"""Server reflection: which services there are, and their protobuf. Answered like a method, by no service.

Its two versions differ on the wire in nothing but their package, and there are clients of both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from borough.transports.grpc.pool import MessagePool

__all__ = ["REFLECTIONS", "Reflection"]

_OLD = "grpc.reflection.v1alpha"
_NEW = "grpc.reflection.v1"
REFLECTIONS = (f"{_OLD}.ServerReflection", f"{_NEW}.ServerReflection")
_NOT_FOUND = 5
_UNIMPLEMENTED = 12


class Reflection:
    """Tells what is in a pool, itself among it."""

    def __init__(self, pool: MessagePool, services: Iterable[str]) -> None:
        pool.add_known(reflection_pb2)
        pool.pool.AddSerializedFile(_newer(reflection_pb2.DESCRIPTOR.serialized_pb))
        self._pool: Any = pool.pool
        self._services = sorted([*services, *REFLECTIONS])

    async def talk(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """An answer to each question of a stream."""
        async for data in messages:
            asked = reflection_pb2.ServerReflectionRequest.FromString(data)
            answer = self._answer(asked)
            answer.original_request.CopyFrom(asked)
            answer.valid_host = asked.host
            yield answer.SerializeToString()

    def _answer(self, asked: Any) -> Any:
        kind = asked.WhichOneof("message_request")
        try:
            if kind == "list_services":
                named = [reflection_pb2.ServiceResponse(name=name) for name in self._services]
                listed = reflection_pb2.ListServiceResponse(service=named)
                return reflection_pb2.ServerReflectionResponse(list_services_response=listed)
            if kind == "file_by_filename":
                return _told(self._pool.FindFileByName(asked.file_by_filename))
            if kind == "file_containing_symbol":
                return _told(self._pool.FindFileContainingSymbol(asked.file_containing_symbol))
        except KeyError:
            return _nothing(_NOT_FOUND, "There is no such file or symbol")
        return _nothing(_UNIMPLEMENTED, "Contracts have no extensions of protobuf")


def _told(file: Any) -> Any:
    """A file, with all that it needs."""
    found: dict[str, bytes] = {}
    waiting = [file]
    while waiting:
        one = waiting.pop()
        if one.name not in found:
            found[one.name] = one.serialized_pb
            waiting.extend(one.dependencies)
    files = reflection_pb2.FileDescriptorResponse(file_descriptor_proto=list(found.values()))
    return reflection_pb2.ServerReflectionResponse(file_descriptor_response=files)


def _nothing(code: int, words: str) -> Any:
    error = reflection_pb2.ErrorResponse(error_code=code, error_message=words)
    return reflection_pb2.ServerReflectionResponse(error_response=error)


def _newer(old: bytes) -> bytes:
    """The file of version 1, made of that of v1alpha."""
    file = descriptor_pb2.FileDescriptorProto.FromString(old)
    file.name = file.name.replace("v1alpha", "v1")
    file.package = _NEW
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{_OLD}.", f".{_NEW}.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(_OLD, _NEW)
        method.output_type = method.output_type.replace(_OLD, _NEW)
    return file.SerializeToString()
