"""A contract as frozen data that outlives its code: the one fact base of REST, clients and diffs.

`describe` makes it from a contract, `to_json` writes it canonically (sorted members, no spaces,
UTF-8: equal descriptors are equal bytes), `from_json` reads it back without the code. The order in
which operations, events, problems and types are declared does not matter and is not kept; the
order of fields does and is. `FORMAT` grows whenever an older reader could not read a newer text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET

from borough.contracts.catalog import Catalog, own_doc
from borough.contracts.descriptor_faults import faults_of
from borough.contracts.duplicates import MOST_LEVELS, is_too_deep
from borough.contracts.marks import Allow
from borough.contracts.operation import Contract, Operation, Parameter, ParameterPlace
from borough.contracts.portable import json_value
from borough.contracts.problem import Problem
from borough.contracts.retention import WEEK
from borough.contracts.shapes import NamedShape, RefShape, Shape, StructShape
from borough.contracts.struct import Struct
from borough.contracts.unreadable import UNREADABLE
from borough.contracts.upcasting import version_of
from borough.errors import ConfigurationError

__all__ = [
    "FORMAT",
    "Descriptor",
    "EventDescriptor",
    "OperationDescriptor",
    "ParameterDescriptor",
    "ProblemDescriptor",
    "describe",
    "fingerprint",
    "from_json",
    "to_json",
]

FORMAT = 1
"""The version of this format."""

_WORDS: dict[str, Any] = {"doc": "", "title": "", "examples": (), "example": {}}
"""Members that explain and promise nothing; a fingerprint leaves them out."""


class _Fact(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A part of a descriptor."""


class ParameterDescriptor(_Fact):
    """A parameter: `name` in code, `wire_name` where it travels under another one."""

    name: str
    wire_name: str = ""
    place: ParameterPlace
    shape: Shape
    required: bool = True
    default: Any = UNSET

    @property
    def wire(self) -> str:
        """Its name where it travels."""
        return self.wire_name or self.name


class OperationDescriptor(_Fact):
    """An operation. `request` is the shape of its JSON body, `result` of its answer or stream item.

    `reply`: the answer may carry headers, cookies and an ETag. `raises` names problems by code.
    `example` gives values by parameter name, and of the answer under `return`.
    """

    name: str
    wire_name: str
    method: str
    path: str
    parameters: tuple[ParameterDescriptor, ...] = ()
    request: Shape | None = None
    result: Shape | None = None
    stream: bool = False
    reply: bool = False
    status: int = 200
    raises: tuple[str, ...] = ()
    allow: Allow | None = None
    idempotent: bool = False
    idempotent_by: str | None = None
    timeout_s: float | None = None
    deprecated: str | None = None
    doc: str = ""
    example: Mapping[str, Any] = {}


class EventDescriptor(_Fact):
    """An event. `type` names its struct, `key` the field (as in JSON) that keeps its order.

    `version` grows when its data takes another form.
    """

    name: str
    wire_name: str
    topic: str
    type: str
    key: str | None = None
    version: int = 1
    doc: str = ""


class ProblemDescriptor(_Fact):
    """A problem: its code on the wire, HTTP status, and the struct of its own fields."""

    code: str
    status: int
    type: str
    title: str = ""
    doc: str = ""


class Descriptor(_Fact):
    """A contract of a service, in a version.

    `retains` says how long its topic keeps events, null for the usual `7d`.
    """

    format: int
    service: str
    name: str
    wire_name: str
    version: str
    public: bool = False
    deprecated: str | None = None
    retains: str | None = None
    doc: str = ""
    operations: tuple[OperationDescriptor, ...] = ()
    events: tuple[EventDescriptor, ...] = ()
    problems: tuple[ProblemDescriptor, ...] = ()
    types: Mapping[str, NamedShape] = {}

    def operation(self, name: str) -> OperationDescriptor:
        """The operation of this name in code. Raises `KeyError`."""
        return next((o for o in self.operations if o.name == name), None) or _missing(name)

    def problem(self, code: str) -> ProblemDescriptor:
        """The problem of this code. Raises `KeyError`."""
        return next((p for p in self.problems if p.code == code), None) or _missing(code)


def _missing(name: str) -> Any:
    raise KeyError(name)


def describe(contract: Contract) -> Descriptor:
    """The contract as data. The contract has been read, so there is nothing left to be wrong."""
    catalog = Catalog()
    operations = [_operation(o, catalog) for _, o in sorted(contract.operations.items())]
    raised = {c: p for o in contract.operations.values() for c, p in o.problems.items()}
    problems = [_problem(code, problem, catalog) for code, problem in sorted(raised.items())]
    events: list[EventDescriptor] = []
    for wire_name, event in sorted(contract.events.items()):
        type_name = _struct_name(catalog.add(event.kind))
        events.append(
            EventDescriptor(
                name=event.kind.__name__,
                wire_name=wire_name,
                topic=event.topic,
                type=type_name,
                key=_key(catalog.types[type_name]),
                version=version_of(event.kind),
                doc=own_doc(event.kind),
            )
        )
    return Descriptor(
        format=FORMAT,
        service=contract.service,
        name=contract.name,
        wire_name=contract.wire_name,
        version=contract.mark.version,
        public=contract.mark.public,
        deprecated=contract.mark.deprecated,
        retains=None if contract.retention == WEEK else contract.retention.words,
        doc=contract.doc,
        operations=tuple(operations),
        events=tuple(events),
        problems=tuple(problems),
        types=dict(sorted(catalog.types.items())),
    )


def _operation(operation: Operation, catalog: Catalog) -> OperationDescriptor:
    mark = operation.mark
    result = operation.result
    return OperationDescriptor(
        name=operation.name,
        wire_name=operation.wire_name,
        method=mark.method,
        path=operation.path,
        parameters=tuple(_parameter(p, catalog) for p in operation.parameters),
        request=None if operation.request is None else catalog.add(operation.request),
        result=None if result is type(None) else catalog.add(result),
        stream=operation.stream,
        reply=operation.is_reply,
        status=mark.status,
        raises=tuple(sorted(operation.problems)),
        allow=mark.allow,
        idempotent=mark.idempotent,
        idempotent_by=mark.idempotent_by,
        timeout_s=None if mark.timeout_s is None else float(mark.timeout_s),
        deprecated=mark.deprecated,
        doc=operation.doc,
        example={name: json_value(value) for name, value in (mark.example or {}).items()},
    )


def _parameter(parameter: Parameter, catalog: Catalog) -> ParameterDescriptor:
    plain = parameter.required or parameter.default is UNSET
    return ParameterDescriptor(
        name=parameter.name,
        wire_name="" if parameter.wire_name == parameter.name else parameter.wire_name,
        place=parameter.place,
        shape=catalog.add(parameter.kind),
        required=parameter.required,
        default=UNSET if plain else json_value(parameter.default),
    )


def _problem(code: str, problem: type[Problem], catalog: Catalog) -> ProblemDescriptor:
    return ProblemDescriptor(
        code=code,
        status=problem.status,
        type=_struct_name(catalog.add(problem.payload)),
        title=problem.title(),
        doc=own_doc(problem),
    )


def _struct_name(shape: Shape) -> str:
    assert isinstance(shape, RefShape)
    return shape.name


def _key(struct: NamedShape) -> str | None:
    assert isinstance(struct, StructShape)
    return next((field.wire for field in struct.fields if field.key), None)


def to_json(descriptor: Descriptor) -> bytes:
    """Canonical JSON: the same bytes for the same descriptor, everywhere and always."""
    return msgspec.json.encode(descriptor, order="sorted")


class _Opening(msgspec.Struct):
    """What is read before anything else."""

    format: int


def from_json(data: bytes | str) -> Descriptor:
    """Read a descriptor, without the code it was made from.

    Raises `ConfigurationError` for a text that is none, for an unknown format, and where its parts do
    not hold together.
    """
    remedy = "Export it again with `borough contracts export`."
    if is_too_deep(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")):
        raise ConfigurationError(
            f"This is no contract descriptor: it has more than {MOST_LEVELS} levels. {remedy}"
        )
    try:
        opening = msgspec.json.decode(data, type=_Opening)
    except UNREADABLE as error:
        raise ConfigurationError(f"This is no contract descriptor: {error}. {remedy}") from None
    if opening.format != FORMAT:
        raise ConfigurationError(
            f"The descriptor has format {opening.format}, this Borough reads format {FORMAT}. "
            "Use a Borough of the version that wrote it, or a newer one."
        )
    try:
        descriptor = msgspec.json.decode(data, type=Descriptor)
    except UNREADABLE as error:
        raise ConfigurationError(f"The descriptor is broken: {error}. {remedy}") from None
    fault = next(faults_of(descriptor), None)
    if fault is not None:
        raise ConfigurationError(f"The descriptor is broken: {fault}. {remedy}")
    return descriptor


def fingerprint(descriptor: Descriptor) -> str:
    """SHA-256, in hex, of the canonical JSON without words.

    Left out are docstrings and descriptions (`doc`), the titles of problems (`title`), `examples`
    and `example`: a comment does not change it. Everything else does, the version and a
    deprecation among it.
    """
    return hashlib.sha256(to_json(_wordless(descriptor))).hexdigest()


def _wordless(value: Any) -> Any:
    """The same facts without words; a default, which is the author's own data, stays as it is."""
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
        parts = {name: _WORDS.get(name, getattr(value, name)) for name in names}
        return type(value)(
            **{n: p if n == "default" or n in _WORDS else _wordless(p) for n, p in parts.items()}
        )
    if isinstance(value, tuple):
        return tuple(map(_wordless, cast("Iterable[Any]", value)))
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, Any]", value)
        return {name: _wordless(part) for name, part in entries.items()}
    return value
