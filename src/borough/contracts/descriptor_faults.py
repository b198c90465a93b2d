"""What is wrong with a descriptor although each part of it can be read.

It may come from anywhere, and what is made of it (verdicts, documents, clients) relies on what a contract
that was read from code always has: names that code can have, each once, and parts that belong together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from borough.contracts.catalog import is_name
from borough.contracts.fit import misfit
from borough.contracts.retention import Retention
from borough.contracts.shapes import (
    EnumShape,
    IntShape,
    LiteralShape,
    NamedShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    inner_shapes,
    names_used,
)

if TYPE_CHECKING:
    from borough.contracts.descriptor import Descriptor, OperationDescriptor

__all__ = ["faults_of"]

_SERVICE = re.compile(r"[a-z][a-z0-9_-]*\Z")
_VERSION = re.compile(r"[1-9][0-9]*\.(0|[1-9][0-9]*)\Z")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PATH = re.compile(r"(/([A-Za-z0-9_.~-]+|\{[a-z_][a-z0-9_]*\}))+\Z")
_LONGEST_SHOWN = 60
_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def faults_of(descriptor: Descriptor) -> Iterator[str]:
    """Sentences, each of which is said where those before it are not."""
    yield from _strange(descriptor)
    yield from _missing(descriptor)
    yield from _twice(descriptor)
    yield from _unfit_patterns(descriptor)
    for operation in descriptor.operations:
        yield from _unfit_parameters(operation, descriptor)
    for event in descriptor.events:
        struct = descriptor.types[event.type]
        fields = [field.wire for field in struct.fields] if isinstance(struct, StructShape) else []
        if event.key is not None and event.key not in fields:
            yield f"{event.wire_name} has no field {event.key!r} to keep its order by"
    for name, named in descriptor.types.items():
        for field in named.fields if isinstance(named, StructShape) else ():
            wrong = _unfit_default(field.default, field.shape, descriptor)
            if wrong is not None:
                yield f"the default of {name}.{field.name} does not fit: {wrong}"


def _strange(descriptor: Descriptor) -> Iterator[str]:
    """Names that no code has: code is written from it."""
    names = [descriptor.name, *descriptor.types]
    for named in descriptor.types.values():
        parts = named.fields if isinstance(named, StructShape) else named.members
        names += [part.name for part in parts]
    for operation in descriptor.operations:
        names += [operation.name, *(parameter.name for parameter in operation.parameters)]
        if any(parameter.name == "self" for parameter in operation.parameters):
            yield f"a parameter of {operation.name} is called 'self'"
        if not _PATH.match(operation.path):
            yield f"{operation.path!r} is no path"
        if operation.method not in _METHODS:
            yield f"{operation.method!r} is no method"
    names += [event.name for event in descriptor.events]
    yield from (f"{name!r} is no name" for name in names if not is_name(name))
    major = descriptor.version.partition(".")[0]
    whole = f"{descriptor.service}.{descriptor.name}" + ("" if major == "1" else f".v{major}")
    if not _SERVICE.match(descriptor.service) or not _VERSION.match(descriptor.version):
        yield f"{descriptor.service!r} {descriptor.version!r} is no service with a version"
    elif descriptor.wire_name != whole:
        yield f"{descriptor.wire_name!r} is not {whole}"


def _missing(descriptor: Descriptor) -> Iterator[str]:
    """What is referred to and not there."""
    codes = {problem.code for problem in descriptor.problems}
    if descriptor.retains is not None and Retention.read(descriptor.retains) is None:
        yield f"it retains {descriptor.retains!r}"
    roots: list[Shape] = [RefShape(name=name) for name in descriptor.types]
    for operation in descriptor.operations:
        whole = [operation.request, operation.result]
        roots += [shape for shape in whole if shape is not None]
        roots += [parameter.shape for parameter in operation.parameters]
        for code in operation.raises:
            if code not in codes:
                yield f"{operation.wire_name} raises {code}, which is not described"
    structs = [event.type for event in descriptor.events]
    structs += [problem.type for problem in descriptor.problems]
    for name in structs:
        if not isinstance(descriptor.types.get(name), StructShape):
            yield f"the struct {name} is not described"
    for name in sorted(names_used(descriptor.types, *roots) - set(descriptor.types)):
        yield f"the type {name} is not described"
    for named in descriptor.types.values():
        if isinstance(named, EnumShape) and not named.members:
            yield "an enum has no members"
    everything = [*roots, *descriptor.types.values()]
    if any(map(_has_no_choice, everything)):
        yield "a literal has no values"
    if any(map(_has_limit_beyond, everything)):
        yield "an integer has a limit beyond 64 bits"


def _has_no_choice(shape: Shape | NamedShape) -> bool:
    """Whether a choice of nothing stands anywhere in it."""
    is_one = isinstance(shape, LiteralShape) and not shape.values
    return is_one or any(map(_has_no_choice, inner_shapes(shape)))


def _has_limit_beyond(shape: Shape | NamedShape) -> bool:
    """Whether an integer stands anywhere in it with a limit that no integer here can reach."""
    limits = (
        (shape.ge, shape.gt, shape.le, shape.lt, shape.multiple_of)
        if isinstance(shape, IntShape)
        else ()
    )
    is_one = any(limit is not None and not -(2**63) <= limit < 2**63 for limit in limits)
    return is_one or any(map(_has_limit_beyond, inner_shapes(shape)))


def _twice(descriptor: Descriptor) -> Iterator[str]:
    """What has a name that another of its kind has."""
    groups: list[tuple[str, Iterable[Hashable]]] = [
        ("operation", (each.name for each in descriptor.operations)),
        ("operation", (each.wire_name for each in descriptor.operations)),
        ("event", (each.wire_name for each in descriptor.events)),
        ("problem", (each.code for each in descriptor.problems)),
    ]
    for operation in descriptor.operations:
        where = f"parameter of {operation.name}"
        groups.append((where, (each.name for each in operation.parameters)))
        groups.append((where, ((each.place, each.wire) for each in operation.parameters)))
    for name, named in descriptor.types.items():
        if isinstance(named, EnumShape):
            groups.append((f"member of {name}", (each.name for each in named.members)))
            groups.append((f"member of {name}", (each.value for each in named.members)))
        else:
            groups.append((f"field of {name}", (each.name for each in named.fields)))
            groups.append((f"field of {name}", (each.wire for each in named.fields)))
    for what, given in groups:
        for each, often in Counter(given).items():
            if often > 1:
                yield f"the {what} {each!r} is there twice"


def _unfit_parameters(operation: OperationDescriptor, descriptor: Descriptor) -> Iterator[str]:
    """Parameters that are not those of the path, and defaults that are none."""
    given = {each.name for each in operation.parameters if each.place == "path"}
    if given != set(_SLOT.findall(operation.path)):
        yield f"{operation.wire_name} has other parameters than its path {operation.path}"
    for parameter in operation.parameters:
        wrong = _unfit_default(parameter.default, parameter.shape, descriptor)
        if wrong is not None:
            yield f"the default of {parameter.name} of {operation.name} does not fit: {wrong}"


def _unfit_patterns(descriptor: Descriptor) -> Iterator[str]:
    """Patterns that are none."""
    roots = [each for o in descriptor.operations for each in (o.request, o.result)]
    shapes: list[Shape | NamedShape] = [each for each in roots if each is not None]
    shapes += [p.shape for operation in descriptor.operations for p in operation.parameters]
    shapes += descriptor.types.values()
    while shapes:
        shape = shapes.pop()
        shapes += inner_shapes(shape)
        if isinstance(shape, StrShape) and shape.pattern is not None:
            try:
                re.compile(shape.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                yield f"{shape.pattern[:_LONGEST_SHOWN]!r} is no pattern: {error}"


def _unfit_default(default: Any, shape: Shape, descriptor: Descriptor) -> str | None:
    if default is UNSET:
        return None
    try:
        wrong = misfit(default, shape, descriptor.types, is_own=False)
    except (ArithmeticError, TypeError, ValueError) as error:
        return str(error)  # its limits are none that a type can have
    return None if wrong is None else str(wrong)
