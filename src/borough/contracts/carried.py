"""How a value stands in a path, a query or a header field, and what none of them can carry."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any, cast
from urllib.parse import quote

import msgspec
from msgspec import inspect as shape

from borough.contracts.conversion import conversion
from borough.contracts.operation import Parameter
from borough.contracts.portable import type_shape
from borough.errors import InvalidRequest

__all__ = [
    "check_carried",
    "header_text",
    "path_text",
    "plain_text",
    "segments_beside",
    "text_conversion",
]


def plain_text(value: Any) -> str:
    """A scalar as text, before it is encoded for its place."""
    if isinstance(value, bool):
        return "true" if value else "false"
    plain = msgspec.to_builtins(value, str_keys=True)
    return plain if isinstance(plain, str) else str(plain)


def path_text(name: str, value: Any, beside: Container[str] = ()) -> str:
    """A path parameter as a segment. Raises `InvalidRequest` for what no path can carry: empty, `.` and `..`.

    `beside`: what other paths have there. A value that reads like it would call that operation, for who
    routes takes what is written over a parameter; with its first character encoded it is a value again.
    """
    text = plain_text(value)
    if text in ("", ".", "..") or any(_is_unsendable(character) for character in text):
        raise InvalidRequest(
            f"The path parameter {name!r} cannot be {text!r}",
            errors=[{"detail": "not a path segment", "parameter": name}],
        )
    segment = quote(text, safe="")
    return f"%{ord(segment[0]):02X}{segment[1:]}" if segment in beside else segment


def _is_unsendable(character: str) -> bool:
    return character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff"


def segments_beside(path: str, paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """By path parameter, what stands in its place in those paths of the contract that are as long."""
    own = path.split("/")
    split = [other.split("/") for other in paths]
    return {
        segment[1:-1]: frozenset(
            other[index] for other in split if len(other) == len(own) and other[index][:1] != "{"
        )
        for index, segment in enumerate(own)
        if segment[:1] == "{"
    }


def header_text(name: str, value: Any) -> bytes:
    """A header parameter as its field's value. Raises `InvalidRequest` for what is not printable ASCII."""
    text = plain_text(value)
    if not text.isprintable() or not text.isascii() or text != text.strip():
        raise InvalidRequest(
            f"The header parameter {name!r} can only carry printable ASCII",
            errors=[{"detail": "not printable ASCII", "parameter": name}],
        )
    return text.encode()


def check_carried(parameter: Parameter, value: Any) -> None:
    """Raise `InvalidRequest` where a path or a header cannot carry the value."""
    if parameter.place == "path":
        path_text(parameter.name, value)
    elif value is not None and value is not msgspec.UNSET:
        header_text(parameter.name, value)


def text_conversion(kind: Any) -> Callable[[Any], Any]:
    """What makes a `kind` of a text, or of several, and reads no more into a text than it says."""
    lax, exact = conversion(kind, strict=False), conversion(kind)
    leaves = [*_leaves(type_shape(kind))]

    def choose(text: Any) -> Any:
        """What is written as a text is looked for before a number, which has no -0, or null."""
        try:
            return exact(text)
        except msgspec.ValidationError:
            return lax(text)

    def tell_time(text: Any) -> Any:
        """A number alone is no time, though msgspec takes it for seconds since 1970."""
        is_null = isinstance(text, str) and text.lower() == "null"
        return exact(None if is_null else text)

    if any(isinstance(leaf, shape.DateTimeType) for leaf in leaves):
        return tell_time
    return choose if any(map(_is_a_text_itself, leaves)) else lax


def _leaves(found: shape.Type) -> Iterator[shape.Type]:
    """The single values of which a text may be one."""
    while isinstance(found, shape.Metadata):
        found = found.type
    parts: Iterable[shape.Type] = ()
    if isinstance(found, shape.UnionType):
        parts = found.types
    elif isinstance(found, shape.TupleType):
        parts = found.item_types
    elif isinstance(found, (shape.ListType, shape.VarTupleType)):
        parts = (found.item_type,)
    else:
        yield found
    for part in parts:
        yield from _leaves(part)


def _is_a_text_itself(leaf: shape.Type) -> bool:
    """Whether it is a `Decimal`, or has the text `null`, in which msgspec sees no value at all."""
    if isinstance(leaf, shape.DecimalType):
        return True
    values: list[Any] = []
    if isinstance(leaf, shape.EnumType):
        values += [each.value for each in cast("Any", leaf.cls)]
    elif isinstance(leaf, shape.LiteralType):
        values += leaf.values
    elif isinstance(leaf, shape.BytesType):
        values.append("null")  # three bytes in base64
    return any(isinstance(value, str) and value.lower() == "null" for value in values)
