"""A service of a `.proto` file as a contract: what a caller here can ask of a gRPC server there.

It is read from the compiled descriptor set in its JSON form, so that nothing of protobuf is needed. Values
are what protobuf's JSON mapping makes of them, under the names of the file; a method's path is that of
gRPC, `/package.Service/Method`. What no contract can say is left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from borough.contracts.descriptor import (
    FORMAT,
    Descriptor,
    OperationDescriptor,
    ParameterDescriptor,
)
from borough.contracts.imported import Imported, Json, Unmappable
from borough.contracts.imported_names import (
    class_name,
    free_name,
    member_constant,
    operation_name,
    python_name,
)
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateTimeShape,
    EnumMember,
    EnumShape,
    FieldShape,
    FloatShape,
    IntShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    names_used,
)
from borough.errors import ConfigurationError

__all__ = ["imported_proto"]

_INT32 = IntShape(ge=-(2**31), le=2**31 - 1)
_UINT32 = IntShape(ge=0, le=2**32 - 1)
_SCALARS: dict[str, tuple[Shape, Any]] = {
    "TYPE_DOUBLE": (FloatShape(), 0.0),
    "TYPE_FLOAT": (FloatShape(), 0.0),
    **dict.fromkeys(("TYPE_INT32", "TYPE_SINT32", "TYPE_SFIXED32"), (_INT32, 0)),
    **dict.fromkeys(("TYPE_UINT32", "TYPE_FIXED32"), (_UINT32, 0)),
    **dict.fromkeys(("TYPE_INT64", "TYPE_SINT64", "TYPE_SFIXED64"), (IntShape(), 0)),
    **dict.fromkeys(("TYPE_UINT64", "TYPE_FIXED64"), (IntShape(ge=0), 0)),
    "TYPE_BOOL": (BoolShape(), False),
    "TYPE_STRING": (StrShape(), ""),
    "TYPE_BYTES": (BytesShape(), ""),
}
"""The shape of a scalar, and what a field is that is not there."""
_WELL_KNOWN: dict[str, Shape] = {
    ".google.protobuf.Timestamp": DateTimeShape(),
    ".google.protobuf.Duration": StrShape(pattern=r"^-?[0-9]+(\.[0-9]+)?s$"),
    ".google.protobuf.FieldMask": StrShape(),
    ".google.protobuf.DoubleValue": FloatShape(),
    ".google.protobuf.FloatValue": FloatShape(),
    ".google.protobuf.Int64Value": IntShape(),
    ".google.protobuf.UInt64Value": IntShape(ge=0),
    ".google.protobuf.Int32Value": _INT32,
    ".google.protobuf.UInt32Value": _UINT32,
    ".google.protobuf.BoolValue": BoolShape(),
    ".google.protobuf.StringValue": StrShape(),
    ".google.protobuf.BytesValue": BytesShape(),
}
_EMPTY = ".google.protobuf.Empty"
_FILE_MESSAGES, _FILE_ENUMS, _FILE_SERVICES = 4, 5, 6
_INNER_FIELDS, _INNER_MESSAGES, _INNER_ENUMS = 2, 3, 4
"""How `SourceCodeInfo` numbers the parts of a file and of a message."""


def imported_proto(files: Sequence[Json], *, service: str = "", name: str = "") -> Imported:
    """The contract of a service in the last of `files`, which come with all that they import.

    `service` is what it is called here, `name` which of the file's services is meant. Raises
    `ConfigurationError` where there is none, or several of which none is named.
    """
    main = files[-1]
    offered = [str(each["name"]) for each in main.get("service", ())]
    if not offered:
        raise ConfigurationError(f"{main.get('name')} has no service; name the file that has it")
    if name not in offered and (name or len(offered) > 1):
        raise ConfigurationError(
            f"{main.get('name')} has the services {', '.join(offered)}; name one by --contract"
        )
    chosen = name or offered[0]
    service = service or python_name(chosen.removesuffix("Service") or chosen).replace("_", "-")
    return _Reader(files, service, chosen).read()


class _Reader:
    """Reads one service."""

    def __init__(self, files: Sequence[Json], service: str, name: str) -> None:
        self.main = files[-1]
        self.service = service
        self.name = name
        self.parts: dict[str, Json] = {}
        self.docs: dict[str, str] = {}
        self.types: dict[str, NamedShape] = {}
        self.notes: list[str] = []
        self._names: dict[str, str] = {}
        for file in files:
            self._index(file)

    def _index(self, file: Json) -> None:
        """Note every message, enum and method by its whole name, with its comment."""
        comments = {
            tuple(each.get("path", ())): str(each["leadingComments"])
            for each in file.get("sourceCodeInfo", {}).get("location", ())
            if "leadingComments" in each
        }
        package = f".{file['package']}" if file.get("package") else ""
        for index, each in enumerate(file.get("messageType", ())):
            self._message(f"{package}.{each['name']}", each, (_FILE_MESSAGES, index), comments)
        for index, each in enumerate(file.get("enumType", ())):
            self._note(f"{package}.{each['name']}", each, (_FILE_ENUMS, index), comments)
        for index, each in enumerate(file.get("service", ())):
            whole, place = f"{package}.{each['name']}", (_FILE_SERVICES, index)
            self._note(whole, each, place, comments)
            for number, method in enumerate(each.get("method", ())):
                self._note(f"{whole}.{method['name']}", method, (*place, 2, number), comments)

    def _message(
        self, whole: str, message: Json, place: tuple[int, ...], comments: Mapping[Any, str]
    ) -> None:
        self._note(whole, message, place, comments)
        for index, field in enumerate(message.get("field", ())):
            self._note(f"{whole}.{field['name']}", field, (*place, _INNER_FIELDS, index), comments)
        for index, each in enumerate(message.get("nestedType", ())):
            inner = (*place, _INNER_MESSAGES, index)
            self._message(f"{whole}.{each['name']}", each, inner, comments)
        for index, each in enumerate(message.get("enumType", ())):
            self._note(f"{whole}.{each['name']}", each, (*place, _INNER_ENUMS, index), comments)

    def _note(
        self, whole: str, part: Json, place: tuple[int, ...], comments: Mapping[Any, str]
    ) -> None:
        self.parts[whole] = part
        lines = comments.get(place, "").strip("\n").split("\n")
        self.docs[whole] = "\n".join(line.strip() for line in lines).strip()

    def read(self) -> Imported:
        """The contract."""
        package = f"{self.main['package']}." if self.main.get("package") else ""
        whole = f"{package}{self.name}"
        operations: dict[str, OperationDescriptor] = {}
        for method in self.parts[f".{whole}"].get("method", ()):
            try:
                operation = self._operation(whole, method, operations)
            except Unmappable as error:
                self.notes.append(f"{self.name}.{method['name']} is left out: {error}")
                continue
            operations[operation.name] = operation
        if not operations:
            reasons = "; ".join(self.notes[:3]) or "it has no methods"
            raise ConfigurationError(f"nothing of {whole} can be a contract: {reasons}")
        shapes = [parameter.shape for each in operations.values() for parameter in each.parameters]
        shapes += [each.result for each in operations.values() if each.result is not None]
        used = names_used(self.types, *shapes)
        wire_name = f"{self.service}.{class_name(self.name)}"
        descriptor = Descriptor(
            format=FORMAT,
            service=self.service,
            name=class_name(self.name),
            wire_name=wire_name,
            version="1.0",
            doc=self.docs[f".{whole}"] or f"The gRPC service {whole}.",
            operations=tuple(
                msgspec.structs.replace(each, wire_name=f"{wire_name}.{name}")
                for name, each in sorted(operations.items())
            ),
            types={name: each for name, each in sorted(self.types.items()) if name in used},
        )
        return Imported(descriptor, tuple(dict.fromkeys(self.notes)))

    def _operation(
        self, whole: str, method: Json, others: Mapping[str, OperationDescriptor]
    ) -> OperationDescriptor:
        if method.get("clientStreaming"):
            raise Unmappable("its request is a stream, and a contract has streams of answers only")
        name = free_name(operation_name(method["name"]), others)
        parameters = tuple(self._request(method["inputType"]))
        stream = bool(method.get("serverStreaming"))
        result = None if method["outputType"] == _EMPTY else self._reference(method["outputType"])
        if result is None and stream:
            raise Unmappable("it is a stream of nothing")
        return OperationDescriptor(
            name=name,
            wire_name=name,
            method="POST",
            path=f"/{self.service}/{whole}/{method['name']}",
            parameters=parameters,
            request=parameters[0].shape if parameters else None,
            result=result,
            stream=stream,
            deprecated="the file says so" if method.get("options", {}).get("deprecated") else None,
            doc=self.docs[f".{whole}.{method['name']}"],
        )

    def _request(self, type_name: str) -> Iterator[ParameterDescriptor]:
        if type_name != _EMPTY:
            shape = self._reference(type_name)
            if not isinstance(shape, RefShape):
                raise Unmappable(
                    f"its request is {type_name.removeprefix('.')}, no message of its own"
                )
            yield ParameterDescriptor(name="request", place="body", shape=shape)

    def _reference(self, type_name: str) -> Shape:
        """The shape of a message or enum."""
        known = _WELL_KNOWN.get(type_name)
        if known is not None:
            return known
        if type_name.startswith(".google.protobuf."):
            raise Unmappable(f"{type_name.removeprefix('.')} may be anything")
        if type_name not in self._names:
            self._name(type_name)
        return RefShape(name=self._names[type_name])

    def _name(self, whole: str) -> None:
        """Give a message or an enum its name, and read it. Outer messages stand in front."""
        last = whole.rpartition(".")[2]
        taken = {class_name(self.name), *self._names.values()}
        name = class_name(last)
        if name in taken:
            name = free_name(class_name(whole), taken)
        self._names[whole] = name
        part = self.parts[whole]
        if "value" in part:
            self.types[name] = self._enum(whole, last, part)
            return
        # Known before its fields are read, so that it may contain itself.
        self.types[name] = StructShape(fields=())
        fields: list[FieldShape] = []
        for field in part.get("field", ()):
            try:
                fields.append(self._field(whole, part, field, {each.name for each in fields}))
            except Unmappable as error:
                self.notes.append(f"{name}.{field['name']} is left out: {error}")
        self.types[name] = StructShape(fields=tuple(fields), doc=self.docs[whole])

    def _enum(self, whole: str, name: str, enum: Json) -> EnumShape:
        """Open, as every enum of protobuf 3: its values are the names that the file has."""
        prefix = f"{member_constant(name)}_"
        members: list[EnumMember] = []
        for value in enum["value"]:
            text = str(value["name"])
            short = member_constant(text.removeprefix(prefix))
            names = [member.name for member in members]
            members.append(EnumMember(name=free_name(short, names), value=text))
        if not any(member.name == "UNKNOWN" for member in members):
            values = [str(member.value) for member in members]
            members.append(EnumMember(name="UNKNOWN", value=free_name("UNKNOWN", values)))
        return EnumShape(members=tuple(members), open=True, doc=self.docs[whole])

    def _field(self, whole: str, owner: Json, field: Json, others: set[str]) -> FieldShape:
        wire = str(field["name"])
        shape, default = self._value(field)
        if field.get("label") == "LABEL_REPEATED":
            shape, default = self._many(whole, field, shape)
        elif "oneofIndex" in field and not field.get("proto3Optional"):
            group = owner["oneofDecl"][field["oneofIndex"]]["name"]
            shape, default = OptionalShape(item=shape, doc=f"At most one of `{group}`."), None
        elif field.get("proto3Optional") or default is UNSET:
            shape, default = OptionalShape(item=shape), None
        doc = self.docs.get(f"{whole}.{wire}", "")
        if doc and not isinstance(shape, RefShape):
            shape = msgspec.structs.replace(shape, doc=doc)
        name = free_name(python_name(wire), others)
        return FieldShape(
            name=name,
            wire_name="" if name == wire else wire,
            shape=shape,
            required=False,
            default=default,
        )

    def _value(self, field: Json) -> tuple[Shape, Any]:
        """The shape of one value, and what it is where it is not there; `UNSET` for messages."""
        kind = field["type"]
        if kind in _SCALARS:
            return _SCALARS[kind]
        if kind == "TYPE_GROUP":
            raise Unmappable("it is a group, which protobuf has given up")
        type_name = field["typeName"]
        if self.parts.get(type_name, {}).get("options", {}).get("mapEntry"):
            return StrShape(), UNSET  # its key and value are read by `_many`
        shape = self._reference(type_name)
        named = self.types.get(shape.name) if isinstance(shape, RefShape) else None
        if isinstance(named, EnumShape) and kind == "TYPE_ENUM":
            return shape, named.members[0].value
        return shape, UNSET

    def _many(self, whole: str, field: Json, item: Shape) -> tuple[Shape, Any]:
        entry = self.parts.get(field.get("typeName", ""), {})
        if not entry.get("options", {}).get("mapEntry"):
            return ArrayShape(item=item), []
        # Keys of any kind are text in JSON.
        value, _ = self._value(entry["field"][1])
        return MapShape(key=StrShape(), value=value), {}
