"""Shapes as Python annotations, and JSON values as Python expressions of a shape."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from borough.contracts.python_names import PythonNames
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumShape,
    FloatShape,
    IntShape,
    LiteralShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    TupleShape,
    UnionShape,
    UuidShape,
)

__all__ = ["PythonTypes", "number_text", "python_data", "python_text"]

_PLAIN: dict[type[Any], tuple[str, str]] = {
    IntShape: ("builtins", "int"),
    FloatShape: ("builtins", "float"),
    StrShape: ("builtins", "str"),
    BytesShape: ("builtins", "bytes"),
    BoolShape: ("builtins", "bool"),
    DecimalShape: ("decimal", "Decimal"),
    UuidShape: ("uuid", "UUID"),
    DateTimeShape: ("borough", "Instant"),
    DateShape: ("datetime", "date"),
}
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


class PythonTypes:
    """Writes the types of one contract. `named` says how a struct or enum is called."""

    def __init__(self, types: Mapping[str, NamedShape], names: PythonNames) -> None:
        self._types = types
        self._names = names

    def annotation(self, shape: Shape, *marks: str) -> str:
        """The annotation of a shape; `marks` are further arguments of `Annotated`."""
        bare = self._bare(shape)
        limits = {name: getattr(shape, name, None) for name in _LIMITS}
        words = [
            f"{name}={python_data(limit)}" for name, limit in limits.items() if limit is not None
        ]
        if shape.doc:
            words.append(f"description={python_text(shape.doc)}")
        if shape.examples:
            words.append(f"examples={python_data(list(shape.examples))}")
        parts = [bare]
        if words:
            parts.append(f"{self._names.use('borough', 'Meta')}({', '.join(words)})")
        parts += marks
        if len(parts) == 1:
            return bare
        return f"{self._names.use('typing', 'Annotated')}[{', '.join(parts)}]"

    def _bare(self, shape: Shape) -> str:
        use = self._names.use
        match shape:
            case OptionalShape():
                return f"{self.annotation(shape.item)} | None"
            case RefShape():
                return self.named(shape.name)
            case UnionShape():
                return " | ".join(self.named(name) for name in shape.members)
            case ArrayShape():
                return f"{use('builtins', 'tuple')}[{self.annotation(shape.item)}, ...]"
            case TupleShape():
                items = ", ".join(map(self.annotation, shape.items)) or "()"
                return f"{use('builtins', 'tuple')}[{items}]"
            case MapShape():
                key, value = self.annotation(shape.key), self.annotation(shape.value)
                return f"{use('collections.abc', 'Mapping')}[{key}, {value}]"
            case LiteralShape():
                values = ", ".join(map(python_data, shape.values))
                return f"{use('typing', 'Literal')}[{values}]"
            case _:
                return use(*_PLAIN[type(shape)])

    def named(self, name: str) -> str:
        """A struct or enum by its name; pages are Borough's own."""
        item = self.page_of(name)
        if item is None:
            return name
        return f"{self._names.use('borough', 'Page')}[{self.named(item)}]"

    def page_of(self, name: str) -> str | None:
        """The type of which a struct is a page, None where it is none."""
        item = name.removeprefix("Page_")
        struct = self._types.get(name)
        if item == name or not isinstance(struct, StructShape) or item not in self._types:
            return None
        found = [(field.name, field.wire, field.shape, field.default) for field in struct.fields]
        wanted = [
            ("items", "items", ArrayShape(item=RefShape(name=item))),
            ("next", "next", OptionalShape(item=StrShape())),
        ]
        fits = [each[:3] for each in found] == wanted and found[1][3] is None
        return item if fits and struct.tag_field is None else None

    def value(self, value: Any, shape: Shape) -> str:
        """A JSON value of a shape as a Python expression."""
        use = self._names.use
        match shape:
            case OptionalShape():
                return "None" if value is None else self.value(value, shape.item)
            case RefShape():
                return self._named_value(value, shape.name)
            case UnionShape():
                return self._named_value(value, self._member(value, shape))
            case ArrayShape():
                return _tuple([self.value(item, shape.item) for item in value])
            case TupleShape():
                pairs = zip(value, shape.items, strict=True)
                return _tuple([self.value(item, part) for item, part in pairs])
            case MapShape():
                entries = [
                    f"{python_text(key)}: {self.value(item, shape.value)}"
                    for key, item in value.items()
                ]
                return f"{{{', '.join(entries)}}}"
            case BytesShape():
                return repr(base64.b64decode(value))
            case DecimalShape() | UuidShape():
                return f"{use(*_PLAIN[type(shape)])}({python_text(value)})"
            case DateTimeShape():
                return f"{use('datetime', 'datetime')}.fromisoformat({python_text(value)})"
            case DateShape():
                return f"{use('datetime', 'date')}.fromisoformat({python_text(value)})"
            case _:
                return python_data(value)

    def made_of(self, value: Any, shape: Shape) -> Iterator[str]:
        """The structs and enums that the expression of a JSON value needs."""
        match shape:
            case OptionalShape():
                if value is not None:
                    yield from self.made_of(value, shape.item)
            case RefShape() | UnionShape():
                name = shape.name if isinstance(shape, RefShape) else self._member(value, shape)
                yield name
                named = self._types[name]
                for field in named.fields if isinstance(named, StructShape) else ():
                    if field.wire in value:
                        yield from self.made_of(value[field.wire], field.shape)
            case ArrayShape():
                for item in value:
                    yield from self.made_of(item, shape.item)
            case TupleShape():
                for item, part in zip(value, shape.items, strict=True):
                    yield from self.made_of(item, part)
            case MapShape():
                for item in value.values():
                    yield from self.made_of(item, shape.value)
            case _:
                return

    def _member(self, value: Mapping[str, Any], shape: UnionShape) -> str:
        structs = [(name, self._types[name]) for name in shape.members]
        tag = value[shape.tag_field]
        return next(n for n, s in structs if isinstance(s, StructShape) and s.tag == tag)

    def _named_value(self, value: Any, name: str) -> str:
        named = self._types[name]
        if isinstance(named, EnumShape):
            return next(f"{name}.{each.name}" for each in named.members if each.value == value)
        given = [field for field in named.fields if field.wire in value]
        fields = [f"{field.name}={self.value(value[field.wire], field.shape)}" for field in given]
        return f"{self.named(name)}({', '.join(fields)})"


def _tuple(items: Sequence[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def number_text(number: float) -> str:
    """A number that is read back as it was, in as few characters as that takes."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def python_text(text: str) -> str:
    """A text literal in double quotes, as a formatter would leave it."""
    plain = repr(text)
    if plain[0] == "'" and '"' not in plain:
        return f'"{plain[1:-1]}"'
    return plain


def python_data(value: Any) -> str:
    """JSON data as a Python expression."""
    match value:
        case str():
            return python_text(value)
        case Mapping():
            entries = [f"{python_text(str(k))}: {python_data(v)}" for k, v in value.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            return f"{{{', '.join(entries)}}}"
        case list() | tuple():
            return f"[{', '.join(map(python_data, value))}]"  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return repr(value)
