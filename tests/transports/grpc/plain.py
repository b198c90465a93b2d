"""A caller that has nothing but grpcio: it learns methods and messages by reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)
from grpc_status import rpc_status

__all__ = ["Plain", "plain", "problem_in"]

Metadata = Sequence[tuple[str, str | bytes]]


class Plain:
    """An open channel, and what reflection of one version tells through it."""

    def __init__(self, channel: grpc.aio.Channel, version: str = "v1") -> None:
        self.channel = channel
        self.services: list[str] = []
        self._version = version
        self._pool: Any = DescriptorPool()
        self._known: set[str] = set()

    async def learn(self) -> None:
        """Ask for all services and their files."""
        ask: Any = self.channel.stream_stream(
            f"/grpc.reflection.{self._version}.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        call = ask()
        await call.write(ServerReflectionRequest(list_services=""))
        listed = await call.read()
        self.services = [each.name for each in listed.list_services_response.service]
        for name in self.services:
            await call.write(ServerReflectionRequest(file_containing_symbol=name))
            told = await call.read()
            for data in reversed(told.file_descriptor_response.file_descriptor_proto):
                self._add(data, told.file_descriptor_response.file_descriptor_proto)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    def _add(self, data: bytes, others: Sequence[bytes]) -> None:
        file = descriptor_pb2.FileDescriptorProto.FromString(data)
        if file.name in self._known:
            return
        self._known.add(file.name)
        for other in others:
            if descriptor_pb2.FileDescriptorProto.FromString(other).name in file.dependency:
                self._add(other, others)
        self._pool.AddSerializedFile(data)

    def message(self, name: str) -> Any:
        """The class of a message, by its full name."""
        return GetMessageClass(self._pool.FindMessageTypeByName(name))

    def call(
        self, path: str, timeout: float | None = 10, metadata: Metadata = (), **fields: Any
    ) -> Any:
        """Call `payments.v1.PaymentsService/Charge`; its request is made of `fields`."""
        service, _, method = path.partition("/")
        found = self._pool.FindServiceByName(service).methods_by_name[method]
        kinds: Mapping[bool, Any] = {
            False: self.channel.unary_unary,
            True: self.channel.unary_stream,
        }
        send = kinds[found.server_streaming](
            f"/{path}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(found.output_type).FromString,
        )
        request = GetMessageClass(found.input_type)(**fields)
        return send(request, timeout=timeout, metadata=tuple(metadata))


@asynccontextmanager
async def plain(
    address: str,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    version: str = "v1",
) -> AsyncIterator[Plain]:
    """Connect and learn."""
    own = [*options, ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    channel = (
        grpc.aio.insecure_channel(address, options=own)
        if credentials is None
        else grpc.aio.secure_channel(address, credentials, options=own)
    )
    async with channel:
        found = Plain(channel, version)
        await found.learn()
        yield found


def problem_in(error: grpc.aio.AioRpcError) -> Mapping[str, Any]:
    """The details of a `google.rpc.Status`, unpacked, by the names of their messages."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    assert status.code == error.code().value[0]
    return {each.type_url.rpartition("/")[2]: each for each in status.details}
