"""What a lenient decoder overlooks: unknown fields, keys named twice, integers beyond 64 bits, depth.

`find_oversight(type)` compiles a look at a body that the type's own decoder has taken. It returns
the first oversight as (sentence, JSON pointer), or None. Types that can hide nothing cost nothing.
Most bodies hide nothing: a decoder of a twin type that forbids both sees that at once. Where it
doubts, or a type has no twin, a walk over the plain JSON value decides, and knows the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, cast

import msgspec
from msgspec import inspect as shape

from borough.contracts.duplicates import MOST_LEVELS, find_twice, is_too_deep, said_twice
from borough.contracts.portable import type_shape

__all__ = ["Oversight", "find_oversight"]

Oversight = Callable[[bytes], "tuple[str, str] | None"]
_Walk = Callable[[Any], "tuple[str, str] | None"]
_LOW, _HIGH = -(2**63), 2**63
_Int64 = Annotated[int, msgspec.Meta(ge=_LOW, le=_HIGH - 1)]


def find_oversight(kind: Any) -> Oversight | None:
    """The look for a type, None where a lenient decode sees everything."""
    found = type_shape(kind)
    walk = _compile(found, {})
    if walk is None:
        return None
    decode = msgspec.json.decode

    def walk_all(body: bytes) -> tuple[str, str] | None:
        if is_too_deep(body):
            return f"There are more than {MOST_LEVELS} levels", ""
        value = decode(body)
        return walk(value) or (_twice(body) if said_twice(body, value) else None)

    twin = _twin(found, ())
    if twin is None:
        return walk_all
    glance = msgspec.json.Decoder(twin).decode

    def look(body: bytes) -> tuple[str, str] | None:
        try:
            value = glance(body)
        except msgspec.ValidationError:
            return walk_all(body)
        return _twice(body) if said_twice(body, value) else None

    return look


def _twice(body: bytes) -> tuple[str, str] | None:
    found = find_twice(body)
    if found is None:
        return None
    key, way = found
    return f"The key {key!r} is there twice", "".join(f"/{_escaped(str(step))}" for step in way)


def _twin(found: shape.Type, within: tuple[Any, ...]) -> Any:
    """A type whose decoder takes nothing that hides something; `Raw` skips what cannot. None: no twin."""
    while isinstance(found, shape.Metadata):
        found = found.type
    if _compile(found, {}) is None:
        return msgspec.Raw
    if isinstance(found, shape.IntType):
        return _Int64
    if isinstance(found, shape.StructType):
        return None if found.cls in within else _struct_twin(found, (*within, found.cls))
    if isinstance(found, (shape.ListType, shape.VarTupleType)):
        item = _twin(found.item_type, within)
        return None if item is None else cast(Any, list)[item]
    if isinstance(found, shape.DictType):
        value = _twin(found.value_type, within)
        return None if value is None else cast(Any, dict)[str, value]
    if isinstance(found, shape.UnionType):
        some = [member for member in found.types if not isinstance(member, shape.NoneType)]
        only = _twin(some[0], within) if len(some) == 1 else None
        return None if only is None else only | None
    return None


def _struct_twin(found: shape.StructType, within: tuple[Any, ...]) -> Any:
    if found.array_like or found.tag_field is not None:
        return None
    names: dict[str, str] = {}
    fields: list[tuple[str, Any, Any]] = []
    for number, field in enumerate(found.fields):
        twin = _twin(field.type, within)
        if twin is None:
            return None
        names[f"field_{number}"] = field.encode_name
        fields.append((f"field_{number}", twin | msgspec.UnsetType, msgspec.UNSET))
    return msgspec.defstruct(
        "Twin", fields, rename=names, forbid_unknown_fields=True, gc=False, frozen=True
    )


def _compile(found: shape.Type, known: dict[Any, list[_Walk | None]]) -> _Walk | None:
    while isinstance(found, shape.Metadata):
        found = found.type
    if isinstance(found, shape.IntType):
        return _integer
    if isinstance(found, shape.StructType):
        return _struct(found, known)
    if isinstance(found, (shape.ListType, shape.VarTupleType)):
        item = _compile(found.item_type, known)
        return None if item is None else _items(item)
    if isinstance(found, shape.TupleType):
        parts = [_compile(part, known) for part in found.item_types]
        return _parts(parts) if any(parts) else None
    if isinstance(found, shape.DictType):  # its keys may be there twice, whatever its values are
        return _values(_compile(found.value_type, known) or _nothing)
    if isinstance(found, shape.UnionType):
        return _union(found, known)
    return _nothing if isinstance(found, (shape.AnyType, shape.RawType)) else None


def _nothing(value: Any) -> tuple[str, str] | None:
    return None


def _integer(value: Any) -> tuple[str, str] | None:
    if type(value) is int and not _LOW <= value < _HIGH:
        return "The integer is beyond 64 bits", ""
    return None


def _struct(found: shape.StructType, known: dict[Any, list[_Walk | None]]) -> _Walk:
    name = found.cls
    if name in known:
        slot = known[name]
        return lambda value: slot[0](value) if slot[0] is not None else None
    slot = known[name] = [None]
    names = {field.encode_name for field in found.fields}
    if found.tag_field is not None:
        names.add(found.tag_field)
    parts = {field.encode_name: _compile(field.type, known) for field in found.fields}
    deep = [(name, walk) for name, walk in parts.items() if walk is not None]

    def check(value: Any) -> tuple[str, str] | None:
        if not isinstance(value, dict):
            return None
        given = cast("dict[str, Any]", value)
        if not given.keys() <= names:
            extra = next(iter(given.keys() - names))
            return f"Unknown field {extra!r}", "/" + _escaped(extra)
        for key, walk in deep:
            if key in given:
                oversight = walk(given[key])
                if oversight is not None:
                    return oversight[0], "/" + _escaped(key) + oversight[1]
        return None

    slot[0] = check
    return check


def _items(item: _Walk) -> _Walk:
    def check(value: Any) -> tuple[str, str] | None:
        if value.__class__ is list:
            for index, element in enumerate(value):
                oversight = item(element)
                if oversight is not None:
                    return oversight[0], f"/{index}{oversight[1]}"
        return None

    return check


def _parts(parts: list[_Walk | None]) -> _Walk:
    def check(value: Any) -> tuple[str, str] | None:
        if value.__class__ is list:
            for index, (element, walk) in enumerate(zip(value, parts, strict=False)):
                oversight = walk(element) if walk is not None else None
                if oversight is not None:
                    return oversight[0], f"/{index}{oversight[1]}"
        return None

    return check


def _values(item: _Walk) -> _Walk:
    def check(value: Any) -> tuple[str, str] | None:
        if isinstance(value, dict):
            for key, element in cast("dict[str, Any]", value).items():
                oversight = item(element)
                if oversight is not None:
                    return oversight[0], f"/{_escaped(key)}{oversight[1]}"
        return None

    return check


def _union(found: shape.UnionType, known: dict[Any, list[_Walk | None]]) -> _Walk | None:
    """Members of one JSON kind each, save structs, which a tag tells apart."""
    structs: dict[Any, _Walk] = {}
    tag_field: str | None = None
    others: list[_Walk] = []
    for member in found.types:
        walk = _compile(member, known)
        bare = member.type if isinstance(member, shape.Metadata) else member
        if isinstance(bare, shape.StructType) and bare.tag_field is not None and walk is not None:
            structs[bare.tag] = walk
            tag_field = bare.tag_field
        elif walk is not None:
            others.append(walk)
    if not structs and not others:
        return None

    def check(value: Any) -> tuple[str, str] | None:
        if tag_field is not None and isinstance(value, dict):
            walk = structs.get(cast("dict[str, Any]", value).get(tag_field))
            return walk(value) if walk is not None else None
        for walk in others:
            oversight = walk(value)
            if oversight is not None:
                return oversight
        return None

    return check


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
