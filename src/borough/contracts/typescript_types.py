"""Shapes as TypeScript types: values as they are in JSON, under their names in JSON.

A field with a default is always there in an answer and may be left out of a request. A struct for
which that makes a difference stands in the file twice: as itself, and as `NAMEInput`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from borough.contracts.descriptor import Descriptor
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
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
    names_used,
)

__all__ = ["TypescriptTypes", "comment", "member_name"]

_NUMBERS = (IntShape, FloatShape)
_PLAIN_MEMBER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


class TypescriptTypes:
    """Writes the types of one contract. `taken` are names that the file needs for itself."""

    def __init__(self, descriptor: Descriptor, taken: frozenset[str]) -> None:
        self._types = descriptor.types
        self._taken = taken
        asked: list[Shape] = []
        answered: list[Shape] = []
        for operation in descriptor.operations:
            asked += [parameter.shape for parameter in operation.parameters]
            answered += [operation.result] if operation.result is not None else []
        answered += [RefShape(name=event.type) for event in descriptor.events]
        for problem in descriptor.problems:
            struct = self._types[problem.type]
            assert isinstance(struct, StructShape)
            answered += [field.shape for field in struct.fields]
        self._asked = names_used(self._types, *asked)
        self._answered = names_used(self._types, *answered)
        self._looser = {
            name
            for name in self._types
            if any(
                isinstance(part := self._types[each], StructShape)
                and any(not field.required and not field.unset for field in part.fields)
                for each in names_used(self._types, RefShape(name=name))
            )
        }

    def named(self, name: str) -> str:
        """What a type is called in the file."""
        local = name
        while local in self._taken:
            local += "_"
        return local

    def input_name(self, name: str) -> str:
        """What a type is called where it is sent."""
        twice = name in self._looser and not isinstance(self._types[name], EnumShape)
        local = self.named(name)
        while twice and (local == self.named(name) or local in self._types):
            local += "Input"
        return local

    def written(self, shape: Shape, *, sent: bool) -> str:
        """The type of a shape, as it is `sent` or read."""
        match shape:
            case OptionalShape():
                return f"{self.written(shape.item, sent=sent)} | null"
            case RefShape():
                return self._reference(shape.name, sent)
            case UnionShape():
                return " | ".join(self._reference(name, sent) for name in shape.members)
            case ArrayShape():
                item = self.written(shape.item, sent=sent)
                return f"readonly ({item})[]" if " " in item else f"readonly {item}[]"
            case TupleShape():
                items = ", ".join(self.written(item, sent=sent) for item in shape.items)
                return f"readonly [{items}]"
            case MapShape():
                value = self.written(shape.value, sent=sent)
                return f"Readonly<Record<string, {value}>>"
            case LiteralShape():
                return " | ".join(map(json.dumps, shape.values))
            case BoolShape():
                return "boolean"
            case _:
                return "number" if isinstance(shape, _NUMBERS) else "string"

    def _reference(self, name: str, sent: bool) -> str:
        return self.input_name(name) if sent else self.named(name)

    def declarations(self, left_out: frozenset[str]) -> Iterator[str]:
        """Every type that is sent or read, but those that stand elsewhere."""
        for name, named in self._types.items():
            if name in left_out:
                continue
            if isinstance(named, EnumShape):
                yield self._enum(self.named(name), named)
                continue
            if name in self._answered or self.input_name(name) == self.named(name):
                yield self.interface(self.named(name), named, sent=False)
            if name in self._asked and self.input_name(name) != self.named(name):
                yield self.interface(self.input_name(name), named, sent=True)

    def interface(self, name: str, struct: StructShape, *, sent: bool) -> str:
        """A struct."""
        lines = [*comment(struct.doc), f"export interface {name} {{"]
        if struct.tag_field is not None:
            lines.append(f"  readonly {member_name(struct.tag_field)}: {json.dumps(struct.tag)};")
        for field in struct.fields:
            lines += comment(field.shape.doc, "  ")
            lines.append(self._field(field, sent))
        return "\n".join([*lines, "}"])

    def _field(self, field: FieldShape, sent: bool) -> str:
        kind = self.written(field.shape, sent=sent)
        absent = field.unset or (sent and not field.required)
        mark = "?" if absent else ""
        # Both ways to leave a member out, also where a compiler tells them apart.
        more = " | undefined" if absent else ""
        return f"  readonly {member_name(field.wire)}{mark}: {kind}{more};"

    def _enum(self, name: str, enum: EnumShape) -> str:
        lines = [*comment(enum.doc), f"export const {name} = {{"]
        lines += [f"  {member_name(m.name)}: {json.dumps(m.value)}," for m in enum.members]
        values = f"(typeof {name})[keyof typeof {name}]"
        if enum.open:
            # More values may come; the known ones are still offered.
            kind = "string" if isinstance(enum.members[0].value, str) else "number"
            values += f" | ({kind} & {{}})"
        return "\n".join([*lines, "} as const;", f"export type {name} = {values};"])


def member_name(name: str) -> str:
    """The name of a member, in quotes where it needs them."""
    return name if _PLAIN_MEMBER.match(name) else json.dumps(name)


def comment(doc: str, indent: str = "") -> list[str]:
    """A JSDoc comment."""
    if not doc:
        return []
    text = doc.replace("*/", "* /").split("\n")
    if len(text) == 1:
        return [f"{indent}/** {text[0]} */"]
    body = [f"{indent} * {line}".rstrip() for line in text]
    return [f"{indent}/**", *body, f"{indent} */"]
