"""Which Python types may travel, and which of them may cross a local boundary as they are.

Portable: int (64-bit), float, str, bool, bytes, Decimal, UUID, aware datetime, date, enum, Struct,
`tuple[T, ...]`, list, `Mapping[str, T]`, dict, optional, tagged unions, with constraints by `Meta`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as shape

__all__ = [
    "is_key",
    "is_scalar",
    "is_settled",
    "json_value",
    "marks_in",
    "may_be_unset",
    "strange_marks",
    "struct_class",
    "type_shape",
    "untyped_values",
]

_OURS = frozenset({"builtins", "msgspec", "typing", "borough.contracts.struct"})

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


def type_shape(kind: Any) -> shape.Type:
    """msgspec's view of a type, bare of `Meta(extra=...)`. Raises `TypeError` for a stranger."""
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


def struct_class(found: shape.StructType) -> type[msgspec.Struct]:
    """The class itself; of a generic struct such as `Page[Item]`, msgspec gives the alias."""
    return typing.get_origin(found.cls) or found.cls


def _constrained(found: shape.Type) -> bool:
    names = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")
    is_limited = any(getattr(found, name, None) is not None for name in names)
    return is_limited or isinstance(found, shape.LiteralType)


def is_settled(kind: Any) -> bool:
    """Whether a value may cross a local boundary as it is: all frozen, without constraints."""
    seen: set[int] = set()
    waiting: list[shape.Type] = [shape.type_info(kind)]
    while waiting:
        found = _bare(waiting.pop())
        if isinstance(found, shape.StructType):
            if id(found.cls) in seen:
                continue
            seen.add(id(found.cls))
            if not struct_class(found).__struct_config__.frozen:
                return False
        if _constrained(found) or isinstance(found, (shape.ListType, shape.DictType)):
            return False
        waiting.extend(_children(found))
    return True


def json_value(value: Any) -> Any:
    """A Python value as plain JSON data. Raises `TypeError` or `ValueError` where it is none."""
    return msgspec.json.decode(msgspec.json.encode(value))


def marks_in(kind: Any) -> list[Any]:
    """What `Meta(extra={"borough": ...})` says about a type, also below `| None`."""
    found = shape.type_info(kind)
    marks: list[Any] = []
    waiting = [found]
    while waiting:
        found = waiting.pop()
        if isinstance(found, shape.Metadata):
            marks.extend(_own_marks(found))
            waiting.append(found.type)
        elif isinstance(found, shape.UnionType):
            waiting.extend(found.types)
    return marks


def strange_marks(kind: Any) -> list[Any]:
    """What an annotation carries in `Annotated[...]` that no contract reads: neither `Meta` nor a text.

    Rules of other libraries stand there, and marks that were not called; msgspec passes over them.
    """
    found: list[Any] = []
    if typing.get_origin(kind) is typing.Annotated:
        found += [each for each in kind.__metadata__ if not _is_meta_or_text(each)]
        return strange_marks(kind.__origin__) + found
    for part in typing.get_args(kind):
        found += strange_marks(part)
    return found


def _is_meta_or_text(mark: Any) -> bool:
    # `Doc("...")` of typing_extensions is a text, too.
    return isinstance(mark, (msgspec.Meta, str)) or isinstance(
        getattr(mark, "documentation", None), str
    )


def untyped_values(cls: type[Any]) -> Iterator[str]:
    """Attributes of a struct's class that read like fields with a default, and are none for want of a type.

    One that has the name of a base's field is not its default: it is read in code, and never travels.
    """
    for owner in cls.__mro__:
        if owner.__module__ in _OURS or not issubclass(owner, msgspec.Struct):
            continue  # what is no struct has no fields, whatever it says
        typed = inspect.get_annotations(owner)
        for name, value in vars(owner).items():
            is_known = name.startswith("_") or name in typed
            if not is_known and not callable(value) and not hasattr(value, "__get__"):
                yield name


def is_key(found: shape.Type) -> bool:
    """Whether a field of this type is marked `Key[...]`."""
    return isinstance(found, shape.Metadata) and "key" in _own_marks(found)


def _own_marks(found: shape.Metadata) -> list[Any]:
    extra = typing.cast(Any, found).extra
    return [extra["borough"]] if extra and "borough" in extra else []


def may_be_unset(kind: Any) -> bool:
    """Whether the type is `T | Unset`."""
    if typing.get_origin(kind) is typing.Annotated:
        return may_be_unset(typing.get_args(kind)[0])
    return msgspec.UnsetType in typing.get_args(kind)
