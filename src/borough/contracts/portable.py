"""Which Python types may travel, and which of them may cross a local boundary as they are.

Portable: int (64-bit), float, str, bool, bytes, Decimal, UUID, aware datetime, date, enum, Struct,
`tuple[T, ...]`, list, `Mapping[str, T]`, dict, optional, tagged unions, with constraints by `Meta`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect as shape

__all__ = ["is_plain", "is_scalar", "is_settled", "portable_faults", "type_shape"]

_SCALARS = (
    shape.IntType,
    shape.FloatType,
    shape.StrType,
    shape.BoolType,
    shape.BytesType,
    shape.DecimalType,
    shape.UUIDType,
    shape.DateTimeType,
    shape.DateType,
    shape.EnumType,
    shape.LiteralType,
)
_NAMES = {
    shape.AnyType: "Any",
    shape.SetType: "a set",
    shape.FrozenSetType: "a frozenset",
    shape.RawType: "Raw",
    shape.ExtType: "Ext",
    shape.TypedDictType: "a TypedDict",
    shape.NamedTupleType: "a NamedTuple",
    shape.DataclassType: "a dataclass",
    shape.TimeType: "time",
    shape.TimeDeltaType: "timedelta",
    shape.ByteArrayType: "bytearray",
    shape.MemoryViewType: "memoryview",
    shape.CustomType: "a class of your own",
}


def type_shape(kind: Any) -> shape.Type:
    """The shape of a type, without `Meta(extra=...)` wrappers. Raises `TypeError` for what msgspec cannot encode."""
    return _bare(shape.type_info(kind))


def _bare(found: shape.Type) -> shape.Type:
    while isinstance(found, shape.Metadata):
        found = found.type
    return found


def is_scalar(kind: Any) -> bool:
    """Whether it fits into a path segment, a query value or a header."""
    return isinstance(type_shape(kind), _SCALARS)


def _children(found: shape.Type) -> list[shape.Type]:
    if isinstance(found, shape.StructType):
        return [field.type for field in found.fields]
    if isinstance(found, (shape.ListType, shape.VarTupleType)):
        return [found.item_type]
    if isinstance(found, shape.TupleType):
        return list(found.item_types)
    if isinstance(found, shape.DictType):
        return [found.key_type, found.value_type]
    if isinstance(found, shape.UnionType):
        return list(found.types)
    return []


def portable_faults(kind: Any) -> list[str]:
    """What about this type cannot travel: short sentences, empty when it is portable."""
    try:
        root = shape.type_info(kind)
    except (TypeError, NameError) as error:
        return [str(error)]
    faults: list[str] = []
    seen: set[int] = set()
    waiting: list[shape.Type] = [root]
    while waiting:
        found = _bare(waiting.pop())
        if isinstance(found, shape.StructType):
            if id(found.cls) in seen:
                continue
            seen.add(id(found.cls))
        name = _NAMES.get(type(found))
        if name:
            faults.append(f"{name} does not travel")
        elif isinstance(found, shape.DictType) and not isinstance(_bare(found.key_type), shape.StrType):
            faults.append("a mapping has str keys")
        elif isinstance(found, shape.DateTimeType) and found.tz is False:
            faults.append("a datetime is aware")
        waiting.extend(_children(found))
    return faults


def _constrained(found: shape.Type) -> bool:
    names = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
    return any(getattr(found, name, None) is not None for name in names)


def is_settled(kind: Any) -> bool:
    """Whether a value may cross a local boundary as it is: frozen all through and without constraints."""
    seen: set[int] = set()
    waiting: list[shape.Type] = [shape.type_info(kind)]
    while waiting:
        found = _bare(waiting.pop())
        if isinstance(found, shape.StructType):
            if id(found.cls) in seen:
                continue
            seen.add(id(found.cls))
            if not found.cls.__struct_config__.frozen:
                return False
        if _constrained(found) or isinstance(found, (shape.ListType, shape.DictType)):
            return False
        waiting.extend(_children(found))
    return True


def is_plain(kind: Any) -> type | None:
    """The class to which a settled value must belong, for a cheap check; None where it is not one class."""
    found = type_shape(kind)
    if isinstance(found, shape.StructType):
        return found.cls
    plain: dict[type[shape.Type], type] = {
        shape.IntType: int,
        shape.StrType: str,
        shape.BoolType: bool,
        shape.BytesType: bytes,
    }
    return plain.get(type(found))


def encodable(value: Any) -> bool:
    """Whether a default value can be written as JSON."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError):
        return False
    return True
