"""Where two shapes differ: fields, limits, choices, members, types, down to the first of each kind.

Shapes are compared by what is written and read, so a struct under another name is the same struct.
Types may contain themselves: a pair of structs is looked at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from borough.contracts.change import Change, Flow, Kind
from borough.contracts.fit import misfit
from borough.contracts.patterns import is_quick
from borough.contracts.shapes import (
    ArrayShape,
    BytesShape,
    DateShape,
    DateTimeShape,
    DecimalShape,
    EnumMember,
    EnumShape,
    FieldShape,
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

__all__ = ["ShapeDifference"]

Types = Mapping[str, NamedShape]

_EXACT = 2**53
"""Whole numbers up to here are exact as a float."""
_TEXTS = (BytesShape, DateShape, DateTimeShape, DecimalShape, UuidShape)
"""What is a string in JSON without being declared as text."""


class ShapeDifference:
    """Collects the changes of one subject and flow in `found`."""

    def __init__(self, subject: str, flow: Flow, old: Types, new: Types) -> None:
        self.found: list[Change] = []
        self._subject = subject
        self._flow: Flow = flow
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str]] = set()

    def tell(self, kind: Kind, at: str, old: Any = None, new: Any = None) -> None:
        """Note a change."""
        self.found.append(Change(kind, self._subject, self._flow, at, old, new))

    def compare(self, old: Shape, new: Shape, at: str, skip: frozenset[str] = frozenset()) -> None:
        """Compare what two shapes take. `skip`: names in code of fields that are told elsewhere."""
        if isinstance(old, OptionalShape) or isinstance(new, OptionalShape):
            if not isinstance(new, OptionalShape):
                self.tell("null-removed", at, old, new)
            elif not isinstance(old, OptionalShape):
                self.tell("null-added", at, old, new)
            inner = [s.item if isinstance(s, OptionalShape) else s for s in (old, new)]
            self.compare(inner[0], inner[1], at, skip)
            return
        choices = _choice(old, self._old), _choice(new, self._new)
        if choices[0] is not None and choices[1] is not None:
            self._choices(choices[0], choices[1], old, new, at)
        elif isinstance(old, (RefShape, UnionShape)) and isinstance(new, (RefShape, UnionShape)):
            self._named(old, new, at, skip)
        elif type(old) is type(new):
            self._same_kind(old, new, at)
        else:
            self._other_kind(old, new, at)

    def fields(
        self,
        old: Sequence[FieldShape],
        new: Sequence[FieldShape],
        at: str,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        """Compare fields, paired by their name on the wire; a name in code shows a renamed one."""
        before = {field.wire: field for field in old if field.name not in skip}
        after = {field.wire: field for field in new if field.name not in skip}
        gone = {f.name: f for wire, f in before.items() if wire not in after}
        come = {f.name: f for wire, f in after.items() if wire not in before}
        for name, field in gone.items():
            if name in come:
                self.tell("field-renamed", _below(at, field.wire), field, come[name])
            else:
                kind: Kind = (
                    "required-field-removed" if field.required else "optional-field-removed"
                )
                self.tell(kind, _below(at, field.wire), field, None)
        for name, field in come.items():
            if name not in gone:
                kind = "required-field-added" if field.required else "optional-field-added"
                self.tell(kind, _below(at, field.wire), None, field)
        for wire, field in before.items():
            if wire in after:
                self.field(field, after[wire], _below(at, wire))

    def field(self, old: FieldShape, new: FieldShape, at: str) -> None:
        """Compare one field that both have."""
        if old.name != new.name:
            self.tell("name-changed", at, old.name, new.name)
        if old.required != new.required:
            self.tell("field-required" if new.required else "field-optional", at, old, new)
        elif old.unset != new.unset:
            self.tell("unset-added" if new.unset else "unset-removed", at, old, new)
        elif not same(old.default, new.default):
            self.tell("default-changed", at, old.default, new.default)
        self.compare(old.shape, new.shape, at)

    def _same_kind(self, old: Shape, new: Shape, at: str) -> None:
        self._limits(old, new, at)
        if isinstance(old, ArrayShape) and isinstance(new, ArrayShape):
            self.compare(old.item, new.item, f"{at}/*")
        elif isinstance(old, MapShape) and isinstance(new, MapShape):
            self.compare(old.key, new.key, f"{at}/<key>")
            self.compare(old.value, new.value, f"{at}/*")
        elif isinstance(old, TupleShape) and isinstance(new, TupleShape):
            if len(old.items) != len(new.items):
                self.tell("type-changed", at, old, new)
                return
            for index, (before, after) in enumerate(zip(old.items, new.items, strict=True)):
                self.compare(before, after, f"{at}/{index}")

    def _other_kind(self, old: Shape, new: Shape, at: str) -> None:
        if _fits(old, self._old, new, self._new):
            self.tell("type-widened", at, old, new)
        elif _fits(new, self._new, old, self._old):
            self.tell("type-narrowed", at, old, new)
        else:
            self.tell("type-changed", at, old, new)

    def _limits(self, old: Shape, new: Shape, at: str) -> None:
        """Compare constraints, one by one; a limit is wide where it is small."""
        before, after = _limits_of(old), _limits_of(new)
        for name, (value, rank) in before.items():
            other, other_rank = after[name]
            if rank == other_rank:
                continue
            if name == "pattern" and value is not None and other is not None:
                kind: Kind = "limit-changed"
            elif name == "multiple_of" and value and other:
                widens, narrows = value % other == 0, other % value == 0
                kind = "limit-changed"
                kind = "limit-widened" if widens else "limit-narrowed" if narrows else kind
            else:
                kind = "limit-narrowed" if other_rank > rank else "limit-widened"
            self.tell(kind, at, {name: value}, {name: other})

    def _choices(self, old: EnumShape, new: EnumShape, was: Shape, now: Shape, at: str) -> None:
        """Compare values. Names of members are the code's own."""
        before = {member.value: member.name for member in old.members}
        after = {member.value: member.name for member in new.members}
        if {type(value) for value in before} != {type(value) for value in after}:
            self.tell("type-changed", at, was, now)
            return
        if isinstance(was, RefShape) and isinstance(now, RefShape) and was.name != now.name:
            self.tell("type-renamed", at, was.name, now.name)
        if old.open != new.open:
            self.tell("choice-opened" if new.open else "choice-closed", at, was, now)
        for value, name in before.items():
            if value not in after:
                self.tell("open-value-removed" if new.open else "value-removed", at, value, None)
            elif name != after[value] and isinstance(was, RefShape) and isinstance(now, RefShape):
                self.tell("name-changed", at, name, after[value])
        for value in after:
            if value not in before:
                self.tell("open-value-added" if old.open else "value-added", at, None, value)

    def _named(
        self, old: RefShape | UnionShape, new: RefShape | UnionShape, at: str, skip: frozenset[str]
    ) -> None:
        if isinstance(old, RefShape) and isinstance(new, RefShape):
            before, after = self._old[old.name], self._new[new.name]
            if isinstance(before, StructShape) and isinstance(after, StructShape):
                self._struct((old.name, before), (new.name, after), at, skip)
            else:
                self.tell("type-changed", at, old, new)
            return
        tag_before, ours = _members(old, self._old)
        tag_after, theirs = _members(new, self._new)
        if tag_before != tag_after or tag_before is None:
            self.tell(
                "type-changed" if None in (tag_before, tag_after) else "tag-changed", at, old, new
            )
            return
        for tag, (name, struct) in ours.items():
            if tag in theirs:
                self._struct((name, struct), theirs[tag], f"{at}({name})", skip)
            else:
                self.tell("member-removed", at, name, None)
        for tag, (name, _) in theirs.items():
            if tag not in ours:
                self.tell("member-added", at, None, name)

    def _struct(
        self,
        old: tuple[str, StructShape],
        new: tuple[str, StructShape],
        at: str,
        skip: frozenset[str],
    ) -> None:
        (old_name, before), (new_name, after) = old, new
        if (old_name, new_name) in self._seen:
            return
        self._seen.add((old_name, new_name))
        if old_name != new_name:
            self.tell("type-renamed", at, old_name, new_name)
        self._tags(before, after, at)
        self.fields(before.fields, after.fields, at, skip)

    def _tags(self, old: StructShape, new: StructShape, at: str) -> None:
        """Compare the tags of two structs: one more is read like a field that nobody knows."""
        tags = (old.tag_field, old.tag), (new.tag_field, new.tag)
        if tags[0] == tags[1]:
            return
        names = {field.wire for field in (*old.fields, *new.fields)}
        if (old.tag is None) == (new.tag is None) or names & {old.tag_field, new.tag_field}:
            self.tell("tag-changed", at, old.tag, new.tag)
        else:
            self.tell("tag-added" if old.tag is None else "tag-removed", at, old.tag, new.tag)


def same(one: Any, other: Any) -> bool:
    """Equal JSON values of one type: 1 is not True."""
    return type(one) is type(other) and bool(one == other)


def _below(at: str, wire: str) -> str:
    return f"{at}/{wire.replace('~', '~0').replace('/', '~1')}"


def _choice(shape: Shape, types: Types) -> EnumShape | None:
    """A closed list of values as an enum."""
    if isinstance(shape, LiteralShape):
        return EnumShape(members=tuple(EnumMember(name=str(v), value=v) for v in shape.values))
    named = types[shape.name] if isinstance(shape, RefShape) else None
    return named if isinstance(named, EnumShape) else None


def _members(
    shape: RefShape | UnionShape, types: Types
) -> tuple[str | None, dict[Any, tuple[str, StructShape]]]:
    """The tag field of a union and its members by tag; a tagged struct is a union of one."""
    names = shape.members if isinstance(shape, UnionShape) else (shape.name,)
    found: dict[Any, tuple[str, StructShape]] = {}
    tag_field = shape.tag_field if isinstance(shape, UnionShape) else None
    for name in names:
        struct = types[name]
        if isinstance(struct, StructShape):
            found[struct.tag] = name, struct
            tag_field = struct.tag_field
    return tag_field, found


def _limits_of(shape: Shape) -> dict[str, tuple[Any, Any]]:
    """Each constraint as it is told, and as a rank: equal ranks take the same, larger ones less."""
    if isinstance(shape, (IntShape, FloatShape)):
        return _number_limits(shape)
    if not isinstance(shape, (StrShape, BytesShape, ArrayShape, MapShape)):
        return {}
    low, high = shape.min_length, shape.max_length
    limits: dict[str, tuple[Any, Any]] = {
        "min_length": (low, low or 0),
        "max_length": (high, -math.inf if high is None else -high),
    }
    if isinstance(shape, StrShape):
        limits["pattern"] = shape.pattern, shape.pattern or ""
    return limits


def _number_limits(shape: IntShape | FloatShape) -> dict[str, tuple[Any, Any]]:
    # Whole numbers above 4 are those from 5 on; broken ones are not.
    step = 1 if isinstance(shape, IntShape) else 0
    lows = [(shape.ge, (shape.ge, 0))] if shape.ge is not None else []
    if shape.gt is not None:
        lows.append((shape.gt, (shape.gt + step, 1 - step)))
    highs = [(shape.le, (-shape.le, 0))] if shape.le is not None else []
    if shape.lt is not None:
        highs.append((shape.lt, (-(shape.lt - step), 1 - step)))
    none: tuple[Any, Any] = None, (-math.inf, 0)
    multiple = shape.multiple_of
    return {
        "minimum": max(lows, key=lambda limit: limit[1], default=none),
        "maximum": max(highs, key=lambda limit: limit[1], default=none),
        "multiple_of": (multiple, multiple or 0),
    }


def _fits(writer: Shape, written: Types, reader: Shape, read: Types) -> bool:
    """Whether every value of one kind of shape is read as itself by another kind."""
    choice = _choice(writer, written)
    if choice is not None:
        # A pattern of the other side that may take years is not tried: it may take any or none of them.
        pattern = reader.pattern if isinstance(reader, StrShape) else None
        return all(
            (pattern is None or is_quick(pattern, str(member.value)))
            and misfit(member.value, reader, read) is None
            for member in choice.members
        )
    if isinstance(writer, IntShape) and isinstance(reader, FloatShape):
        low, high = (
            limit[0] for name, limit in _number_limits(writer).items() if name != "multiple_of"
        )
        exact = low is not None and high is not None and -_EXACT <= low <= high <= _EXACT
        return exact and reader == FloatShape(doc=reader.doc, examples=reader.examples)
    if isinstance(reader, DecimalShape):
        return isinstance(writer, (IntShape, FloatShape))
    plain = isinstance(reader, StrShape) and reader == StrShape(
        doc=reader.doc, examples=reader.examples
    )
    return plain and isinstance(writer, _TEXTS)
