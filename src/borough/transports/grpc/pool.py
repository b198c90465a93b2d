"""Protobuf's own view of contracts: descriptors in a pool, and the message classes made from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pb2, struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from borough.contracts.proto import (
    NULL,
    SCALARS,
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    ProtoMethod,
    Reserved,
)
from borough.contracts.proto_names import pascal

__all__ = ["MessagePool", "file_descriptor"]

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "int64": _Field.TYPE_INT64,
    "double": _Field.TYPE_DOUBLE,
    "bool": _Field.TYPE_BOOL,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_OPTIONS = descriptor_pb2.MethodOptions


class MessagePool:
    """The files of a listener: what its methods carry, and what reflection tells."""

    def __init__(self, files: Iterable[ProtoFile]) -> None:
        self.pool = DescriptorPool()
        for known in (timestamp_pb2, struct_pb2):
            self.add_known(known)
        for file in files:
            self.pool.AddSerializedFile(file_descriptor(file).SerializeToString())

    def add_known(self, module: Any) -> None:
        """Add a file that was compiled elsewhere."""
        self.pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)

    def message(self, file: ProtoFile, name: str) -> Any:
        """The class of a message."""
        return GetMessageClass(self.pool.FindMessageTypeByName(f"{file.package}.{name}"))


def file_descriptor(file: ProtoFile) -> descriptor_pb2.FileDescriptorProto:
    """What a compiler makes of the file's text."""
    made = descriptor_pb2.FileDescriptorProto(
        name=file.path, package=file.package, syntax="proto3", dependency=file.imports
    )
    for message in file.messages.values():
        _message(file, message, made.message_type.add(name=message.name))
    for enum in file.enums.values():
        _enum(enum, made.enum_type.add(name=enum.name))
    service = made.service.add(name=file.service)
    if file.deprecated:
        service.options.deprecated = True
    for method in file.methods:
        _method(file, method, service.method.add(name=method.name))
    return made


def _method(
    file: ProtoFile, method: ProtoMethod, made: descriptor_pb2.MethodDescriptorProto
) -> None:
    made.input_type = f".{file.package}.{method.request}"
    made.output_type = f".{file.package}.{method.response}"
    if method.operation.stream:
        made.server_streaming = True
    if method.operation.method == "GET":
        made.options.idempotency_level = _OPTIONS.NO_SIDE_EFFECTS
    if method.operation.deprecated is not None:
        made.options.deprecated = True


def _message(file: ProtoFile, message: ProtoMessage, made: descriptor_pb2.DescriptorProto) -> None:
    oneofs: dict[str, int] = {}
    for field in message.fields:  # those that are written come before those that are only implied
        if field.oneof and field.oneof not in oneofs:
            oneofs[field.oneof] = len(oneofs)
            made.oneof_decl.add(name=field.oneof)
    for field in message.fields:
        one = made.field.add(name=field.name, number=field.number)
        one.label = (
            _Field.LABEL_REPEATED if field.label in ("repeated", "map") else _Field.LABEL_OPTIONAL
        )
        if field.label == "map":
            entry = pascal(field.name) + "Entry"
            _entry(file, field, made.nested_type.add(name=entry))
            one.type = _Field.TYPE_MESSAGE
            one.type_name = f".{file.package}.{message.name}.{entry}"
        else:
            _type(file, field.type, one)
        if field.oneof:
            one.oneof_index = oneofs[field.oneof]
        elif field.label == "optional":
            one.proto3_optional = True
            one.oneof_index = len(made.oneof_decl)
            made.oneof_decl.add(name=f"_{field.name}")
    _reserve(made, message.reserved, {field.name for field in message.fields}, 1)


def _entry(file: ProtoFile, field: ProtoField, made: descriptor_pb2.DescriptorProto) -> None:
    made.options.map_entry = True
    made.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    _type(file, field.type, made.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL))


def _type(file: ProtoFile, name: str, made: descriptor_pb2.FieldDescriptorProto) -> None:
    if name in SCALARS:
        made.type = _SCALARS[name]
        return
    is_enum = name in file.enums or name == NULL
    made.type = _Field.TYPE_ENUM if is_enum else _Field.TYPE_MESSAGE
    is_own = name in file.enums or name in file.messages
    made.type_name = f".{file.package}.{name}" if is_own else f".{name}"


def _enum(enum: ProtoEnum, made: descriptor_pb2.EnumDescriptorProto) -> None:
    for each in enum.values:
        made.value.add(name=each.name, number=each.number)
    _reserve(made, enum.reserved, {each.name for each in enum.values}, 0)


def _reserve(
    made: descriptor_pb2.DescriptorProto | descriptor_pb2.EnumDescriptorProto,
    reserved: Reserved,
    names: set[str],
    beyond: int,
) -> None:
    """Numbers and names that are gone; the end of a range is its last number, plus `beyond`."""
    for number, _ in reserved:
        made.reserved_range.add(start=number, end=number + beyond)
    made.reserved_name.extend(sorted({name for _, name in reserved} - names))
