"""A contract as protobuf 3, as data: the file, its service, messages and enums, without their numbers.

Where a JSON value has no form of its own in protobuf (a list in a list, null in a list, a tuple, a
tagged union), a message is made for it and named by its place: `OrderGridItem`. `proto_lock.py`
gives the numbers, `proto_text.py` writes the text, the gRPC door makes messages of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import UNSET
from msgspec.structs import replace

from borough.contracts.descriptor import Descriptor, OperationDescriptor
from borough.contracts.proto_names import NameSet, pascal, snake
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumShape,
    FieldShape,
    FloatShape,
    IntShape,
    LiteralShape,
    MapShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
    TupleShape,
    UnionShape,
    UuidShape,
    names_used,
)
from borough.contracts.struct import Struct

__all__ = [
    "NULL",
    "RESULT",
    "SCALARS",
    "TIMESTAMP",
    "ProtoEnum",
    "ProtoField",
    "ProtoFile",
    "ProtoMessage",
    "ProtoMethod",
    "ProtoValue",
    "proto_file",
]

TIMESTAMP = "google.protobuf.Timestamp"
NULL = "google.protobuf.NullValue"
RESULT = "result"
"""The one field of a response."""
SCALARS = frozenset({"int64", "double", "bool", "string", "bytes"})

Label = Literal["", "optional", "repeated", "map"]
Role = Literal["object", "list", "map", "tuple", "maybe", "union"]
Reserved = tuple[tuple[int, str], ...]
"""Numbers that were given once, with the names that they had."""


class ProtoField(Struct):
    """A field. It stands for the JSON member `wire`, in code the attribute `attribute`.

    `required`: the member must be there. `absent_is_null`: without the field the member is null.
    `is_text`: a value that has a form of its own in code, and is text here.
    """

    name: str
    type: str
    label: Label = ""
    number: int = 0
    wire: str = ""
    attribute: str = ""
    is_text: bool = False
    oneof: str = ""
    required: bool = True
    absent_is_null: bool = False
    doc: str = ""


class ProtoMessage(Struct):
    """A message, and in `role` which kind of JSON value it stands for.

    A struct of a tagged union has its `tag`; a `union` says in `tag_field` where the tags stand.
    """

    name: str
    fields: tuple[ProtoField, ...]
    role: Role = "object"
    tag_field: str | None = None
    tag: str | int | None = None
    reserved: Reserved = ()
    doc: str = ""


class ProtoValue(Struct):
    """A value of an enum; None for the zero, which stands for nothing."""

    name: str
    value: str | int | None
    number: int = 0


class ProtoEnum(Struct):
    """An enum. `unknown` is what an open one reads for a value that it does not know."""

    name: str
    values: tuple[ProtoValue, ...]
    unknown: str | int | None = None
    reserved: Reserved = ()
    doc: str = ""


class ProtoMethod(Struct):
    """An operation as a method; `request` and `response` name messages."""

    name: str
    request: str
    response: str
    operation: OperationDescriptor


class ProtoFile(Struct):
    """A contract's file. `problems` has the message of each problem, by its code."""

    package: str
    service: str
    contract: str
    methods: tuple[ProtoMethod, ...]
    messages: Mapping[str, ProtoMessage]
    enums: Mapping[str, ProtoEnum]
    problems: Mapping[str, str]
    deprecated: bool = False
    doc: str = ""

    @property
    def path(self) -> str:
        """Where the file lies below the folder of all: `payments/v1/payments.proto`."""
        folder = self.package.replace(".", "/")
        return f"{folder}/{self.package.rpartition('.')[0].rpartition('.')[2]}.proto"

    @property
    def full_service(self) -> str:
        """`payments.v1.PaymentsService`."""
        return f"{self.package}.{self.service}"

    @property
    def imports(self) -> tuple[str, ...]:
        """The files that it needs."""
        used = {field.type for message in self.messages.values() for field in message.fields}
        files = {TIMESTAMP: "google/protobuf/timestamp.proto", NULL: "google/protobuf/struct.proto"}
        return tuple(sorted(files[name] for name in used & set(files)))

    def public(self) -> ProtoFile:
        """The same numbers, without the operations that only services may call."""
        methods = tuple(each for each in self.methods if each.operation.allow is not None)
        codes = {code for each in methods for code in each.operation.raises}
        problems = {code: name for code, name in self.problems.items() if code in codes}
        waiting = [name for each in methods for name in (each.request, each.response)]
        waiting += problems.values()
        used: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in used:
                used.add(name)
                if name in self.messages:
                    waiting += [field.type for field in self.messages[name].fields]
        return replace(
            self,
            methods=methods,
            messages={name: each for name, each in self.messages.items() if name in used},
            enums={name: each for name, each in self.enums.items() if name in used},
            problems=problems,
        )


def proto_file(descriptor: Descriptor) -> ProtoFile:
    """The file of a contract; all numbers are still 0."""
    return _Drafting(descriptor).file()


class _Drafting:
    """A file while it is made."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.messages: dict[str, ProtoMessage] = {}
        self.enums: dict[str, ProtoEnum] = {}
        self.names = NameSet()
        # The values of all enums stand beside each other in the file.
        self.values = NameSet(is_exact=True)
        self.service = descriptor.name.removesuffix("Service") + "Service"
        self.types = {name: self._take(pascal(name)) for name in sorted(_used(descriptor))}

    def file(self) -> ProtoFile:
        descriptor = self.descriptor
        taken = NameSet(is_exact=True)
        names = {each.name: taken.take(pascal(each.name)) for each in descriptor.operations}
        messages = {
            name: tuple(self._named(method, end) for end in ("Request", "Response"))
            for name, method in names.items()
        }
        methods = tuple(
            self._method(operation, names[operation.name], *messages[operation.name])
            for operation in descriptor.operations
        )
        problems = {problem.code: self._type(problem.type) for problem in descriptor.problems}
        return ProtoFile(
            package=_package(descriptor),
            service=self.service,
            contract=descriptor.wire_name,
            methods=methods,
            messages=dict(sorted(self.messages.items())),
            enums=dict(sorted(self.enums.items())),
            problems=problems,
            deprecated=descriptor.deprecated is not None,
            doc=descriptor.doc,
        )

    def _named(self, method: str, end: str) -> str:
        """`ChargeRequest`; where a type of the contract has that name, with the service before it."""
        name = f"{method}{end}"
        return self._take(f"{self.service}{name}" if name in self.names else name)

    def _take(self, name: str) -> str:
        """A name for a message or an enum, beside that of the service."""
        return self.names.take(f"{name}Message" if name == self.service else name)

    def _method(
        self, operation: OperationDescriptor, name: str, request: str, response: str
    ) -> ProtoMethod:
        given = tuple(
            FieldShape(
                name=each.name,
                shape=each.shape,
                required=each.required,
                default=each.default,
                unset=not each.required and each.default is UNSET,
            )
            for each in operation.parameters
        )
        self._object(request, StructShape(fields=given))
        answered = (
            () if operation.result is None else (FieldShape(name=RESULT, shape=operation.result),)
        )
        self._object(response, StructShape(fields=answered))
        return ProtoMethod(name=name, request=request, response=response, operation=operation)

    # --- types that have a name ------------------------------------------------------------------

    def _type(self, name: str) -> str:
        """The message or enum of a named type."""
        found, own = self.descriptor.types[name], self.types[name]
        if isinstance(found, EnumShape):
            if own not in self.enums:
                self.enums[own] = _enum(own, found, self.values)
        elif own not in self.messages:
            self._object(own, found)
        return own

    def _object(self, name: str, struct: StructShape) -> None:
        message = ProtoMessage(
            name=name,
            fields=(),
            tag_field=struct.tag_field,
            tag=struct.tag,
            doc=struct.doc,
        )
        self.messages[name] = message  # known before its fields are, for it may contain itself
        names = NameSet()
        fields = [each for f in struct.fields for each in self._field(name, f, names)]
        self.messages[name] = replace(message, fields=tuple(fields))

    # --- fields ----------------------------------------------------------------------------------

    def _field(self, owner: str, field: FieldShape, names: NameSet) -> Iterator[ProtoField]:
        """The field of a member; two where absent, null and a value are three things."""
        shape, nullable = field.shape, False
        while isinstance(shape, OptionalShape):
            shape, nullable = shape.item, True
        name = names.take(snake(field.wire))
        place = owner + pascal(name)
        plain = ProtoField(
            name=name,
            type="",
            wire=field.wire,
            attribute=field.name,
            required=field.required,
            doc=field.shape.doc,
        )
        empty = field.default == [] or field.default == {}
        if not nullable and (field.required or empty) and isinstance(shape, ArrayShape | MapShape):
            item = shape.item if isinstance(shape, ArrayShape) else shape.value
            label: Label = "repeated" if isinstance(shape, ArrayShape) else "map"
            kind, is_text = self._element(place + "Item", item)
            yield replace(plain, type=kind, is_text=is_text, label=label)
            return
        kind, is_text = self._element(place, shape)
        plain = replace(plain, type=kind, is_text=is_text)
        if nullable and not field.required and (field.unset or field.default is not None):
            choice = names.take(f"{name}_choice")
            yield replace(plain, oneof=choice)
            yield replace(plain, oneof=choice, name=names.take(f"{name}_null"), type=NULL, doc="")
            return
        is_implied = field.required and not nullable
        yield replace(
            plain,
            label="" if is_implied else "optional",
            absent_is_null=nullable and field.required,
        )

    def _element(self, place: str, shape: Shape) -> tuple[str, bool]:
        """The type of one value, and whether it is made text; a message named by its `place` where it
        has no name of its own."""
        match shape:
            case RefShape():
                return self._type(shape.name), False
            case OptionalShape():
                inner, is_text = self._element(place + "Value", shape.item)
                field = ProtoField(name="value", type=inner, is_text=is_text, label="optional")
                return self._wrapper(place, "maybe", [field]), False
            case ArrayShape() | MapShape():
                is_list = isinstance(shape, ArrayShape)
                item = shape.item if isinstance(shape, ArrayShape) else shape.value
                inner, is_text = self._element(place + "Item", item)
                label: Label = "repeated" if is_list else "map"
                field = ProtoField(name="items", type=inner, is_text=is_text, label=label)
                return self._wrapper(place, "list" if is_list else "map", [field]), False
            case TupleShape():
                each: list[ProtoField] = []
                for number, item in enumerate(shape.items, 1):
                    inner, is_text = self._element(f"{place}Item{number}", item)
                    each.append(ProtoField(name=f"item_{number}", type=inner, is_text=is_text))
                return self._wrapper(place, "tuple", each), False
            case UnionShape():
                return self._union(place, shape), False
            case _:
                return _scalar(shape), isinstance(shape, DateShape | DecimalShape | UuidShape)

    def _wrapper(self, place: str, role: Role, fields: list[ProtoField]) -> str:
        name = self._take(place)
        self.messages[name] = ProtoMessage(name=name, fields=tuple(fields), role=role)
        return name

    def _union(self, place: str, shape: UnionShape) -> str:
        names = NameSet()
        kind = names.take("kind")
        fields = tuple(
            ProtoField(
                name=names.take(snake(member)), type=self._type(member), oneof=kind, wire=member
            )
            for member in shape.members
        )
        name = self._take(place)
        self.messages[name] = ProtoMessage(
            name=name, fields=fields, role="union", tag_field=shape.tag_field
        )
        return name


def _used(descriptor: Descriptor) -> set[str]:
    """The named types that calls carry; the bodies that are made of parameters are requests here."""
    roots: list[Shape] = [RefShape(name=problem.type) for problem in descriptor.problems]
    for operation in descriptor.operations:
        roots += [parameter.shape for parameter in operation.parameters]
        roots += [] if operation.result is None else [operation.result]
    return names_used(descriptor.types, *roots)


def _package(descriptor: Descriptor) -> str:
    """`payments.v1`; a contract that does not bear its service's name has one of its own below."""
    major = descriptor.version.partition(".")[0]
    service, name = snake(descriptor.service), snake(descriptor.name)
    return f"{service}.v{major}" if name == service else f"{service}.{name}.v{major}"


def _enum(name: str, shape: EnumShape, taken: NameSet) -> ProtoEnum:
    """The enum; `taken` are the names of the values of all enums."""
    names = NameSet()
    prefix = snake(name).upper()
    values = [
        ProtoValue(name=taken.take(names.take(f"{prefix}_{text}")), value=value)
        for text, value in (
            ("UNSPECIFIED", None),
            *((snake(each.name).upper(), each.value) for each in shape.members),
        )
    ]
    unknown = next((each.value for each in shape.members if each.name == "UNKNOWN"), None)
    return ProtoEnum(
        name=name,
        values=tuple(values),
        unknown=unknown if shape.open else None,
        doc=shape.doc,
    )


def _scalar(shape: Shape) -> str:
    scalars: dict[type[Any], str] = {
        IntShape: "int64",
        FloatShape: "double",
        BoolShape: "bool",
        BytesShape: "bytes",
        DateTimeShape: TIMESTAMP,
    }
    if isinstance(shape, LiteralShape):
        return "int64" if isinstance(shape.values[0], int) else "string"
    return scalars.get(type(shape), "string")
