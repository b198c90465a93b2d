"""JSON Schemas of other people's documents as shapes. What cannot be one is said, and left out.

A field that may be absent becomes `T | Unset`: it is not the same as null there. A union needs a member
that tells its structs apart, by a discriminator or by constants. Schemas say of a value what it must be, and
nothing of what it means, so any text format that is not known is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET

from borough.contracts.fit import misfit
from borough.contracts.imported import Json, Unmappable
from borough.contracts.imported_names import class_name, free_name, member_constant, python_name
from borough.contracts.shapes import (
    ArrayShape,
    BoolShape,
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

__all__ = ["ImportedSchemas", "members"]

_DEEPEST = 32
_TEXTS: dict[str, Shape] = {
    "uuid": UuidShape(),
    "date-time": DateTimeShape(),
    "date": DateShape(),
    "byte": BytesShape(),
    "decimal": DecimalShape(),
}


def members(part: Any) -> Json:
    """The members of an object; nothing for anything else."""
    return cast("Json", part) if isinstance(part, Mapping) else {}


class ImportedSchemas:
    """The types of one document. `types` fills up with those that are asked for, `notes` with what is left out."""

    def __init__(self, document: Json) -> None:
        self.types: dict[str, NamedShape] = {}
        self.notes: list[str] = []
        self.incomplete: set[str] = set()
        """Structs that lack a field which must be there."""
        self._document = document
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._depth = 0

    def resolved(self, part: Any) -> Json:
        """The part itself, behind references within the document. Raises `Unmappable`."""
        for _ in range(_DEEPEST):
            reference = members(part).get("$ref")
            if not isinstance(reference, str):
                return members(part)
            part = self._target(reference)
        raise Unmappable(f"it refers to {members(part).get('$ref')} without end")

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise Unmappable(f"{reference} is in another document; join the two")
        part: Any = self._document
        for step in reference[2:].split("/"):
            part = members(part).get(step.replace("~1", "/").replace("~0", "~"), UNSET)
            if part is UNSET:
                raise Unmappable(f"{reference} is not there")
        return part

    def shape(self, schema: Any, name: str) -> Shape:
        """The shape of a schema; `name` is what a struct is called that has none. Raises `Unmappable`."""
        self._depth += 1
        try:
            if self._depth > _DEEPEST:
                raise Unmappable("it is nested too deep")
            return self._worded(members(schema), name)
        finally:
            self._depth -= 1

    def _worded(self, schema: Json, name: str) -> Shape:
        shape = self._nullable(schema, name)
        doc = schema.get("description")
        if "$ref" in schema or not isinstance(doc, str) or not doc or isinstance(shape, RefShape):
            return shape
        return msgspec.structs.replace(shape, doc=doc.strip())

    def _nullable(self, schema: Json, name: str) -> Shape:
        if isinstance(schema.get("type"), list):
            kinds: list[Any] = schema["type"]
            left = [kind for kind in kinds if kind != "null"]
            if len(left) != 1:
                raise Unmappable(f"it is one of {', '.join(map(str, left))}")
            shape = self._meaning({**schema, "type": left[0]}, name)
            return shape if len(left) == len(kinds) else OptionalShape(item=shape)
        for word in ("anyOf", "oneOf"):
            choices: list[Any] = schema.get(word, [])
            left = [each for each in choices if members(each).get("type") != "null"]
            if choices and len(left) < len(choices):
                inner = left[0] if len(left) == 1 else {**schema, word: left}
                return OptionalShape(item=self.shape(inner, name))
        shape = self._meaning(schema, name)
        if schema.get("nullable") is True and not isinstance(shape, OptionalShape):
            return OptionalShape(item=shape)
        return shape

    def _meaning(self, schema: Json, name: str) -> Shape:
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]))
        if "const" in schema:
            return _literal([schema["const"]])
        if "enum" in schema:
            return _literal(schema["enum"])
        for word in ("oneOf", "anyOf"):
            choices = schema.get(word)
            if choices:
                return self._union(schema, choices, name)
        parts: list[Any] = schema.get("allOf", [])
        kind = schema.get("type")
        if len(parts) == 1 and kind is None and "properties" not in schema:
            return self.shape(parts[0], name)
        if (
            (parts and kind is None)
            or kind == "object"
            or (kind is None and "properties" in schema)
        ):
            return self._object(schema, name)
        if kind == "array" or (kind is None and ("items" in schema or "prefixItems" in schema)):
            return self._array(schema, name)
        return _scalar(schema)

    def _referred(self, reference: str) -> Shape:
        """A named type, or what stands under the name where that needs none."""
        target = self._target(reference)
        wanted = reference.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        if reference in self._names:
            return RefShape(name=self._names[reference])
        schema = members(target)
        if "enum" in schema and _is_text(schema["enum"]):
            return self._enum(reference, wanted, schema)
        if _is_open_enum(schema.get("anyOf", [])):
            known = {**members(schema["anyOf"][0]), "description": schema.get("description")}
            return self._enum(reference, wanted, known, is_open=True)
        if not self._is_struct(schema):
            return self.shape(schema, class_name(wanted))
        name = self._names[reference] = self._take(wanted)
        try:
            self._struct(name, schema)
        except Unmappable:
            del self._names[reference]
            self.types.pop(name, None)
            raise
        return RefShape(name=name)

    def _take(self, wanted: str) -> str:
        *_, last = parts = [part for part in wanted.split(".") if part] or [wanted]
        if last == "Input" and len(parts) > 1:
            last = f"{parts[-2]}Input"  # as Borough calls what is only sent
        name = class_name(last)
        name = free_name(class_name(wanted), self._taken) if name in self._taken else name
        self._taken.add(name)
        return name

    def _is_struct(self, schema: Json) -> bool:
        if schema.get("nullable") is True or isinstance(schema.get("type"), list):
            return False
        if schema.get("allOf"):
            return bool(self._joined(schema, 0)[0])
        return bool(schema.get("properties"))

    def _enum(self, reference: str, wanted: str, schema: Json, *, is_open: bool = False) -> Shape:
        values = [value for value in _choices(schema) if value is not None]
        name = self._names[reference] = self._take(wanted)
        names: list[str] = []
        for value in values:
            names.append(free_name(member_constant(value), names))
        pairs = [*zip(names, values, strict=True)]
        if is_open and "UNKNOWN" not in names:
            pairs.append(("UNKNOWN", free_name("unknown", values)))
        self.types[name] = EnumShape(
            members=tuple(EnumMember(name=member, value=value) for member, value in pairs),
            open=is_open,
            doc=_doc(schema),
        )
        shape = RefShape(name=name)
        return shape if None not in _choices(schema) else OptionalShape(item=shape)

    def _object(self, schema: Json, name: str) -> Shape:
        properties, _ = self._joined(schema, 0)
        if properties:
            known = self._take(name)
            self._struct(known, schema)
            return RefShape(name=known)
        values = schema.get("additionalProperties")
        if not isinstance(values, Mapping) or not values:
            raise Unmappable("it is an object of any members")
        key = self.shape(schema.get("propertyNames", {"type": "string"}), name)
        return MapShape(
            key=key if isinstance(key, StrShape) else StrShape(),
            value=self.shape(values, f"{name}Value"),
            min_length=schema.get("minProperties"),
            max_length=schema.get("maxProperties"),
        )

    def _joined(self, schema: Json, depth: int) -> tuple[dict[str, Any], set[str]]:
        """Properties and required members of an object, with those of `allOf`."""
        if depth > _DEEPEST:
            raise Unmappable("its allOf has no end")
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in schema.get("allOf", ()):
            more, needed = self._joined(self.resolved(part), depth + 1)
            properties.update(more)
            required |= needed
        properties.update(members(schema.get("properties")))
        return properties, required | set(schema.get("required", ()))

    def _struct(self, name: str, schema: Json) -> None:
        properties, required = self._joined(schema, 0)
        # Known before its fields are read, so that it may contain itself.
        self.types[name] = StructShape(fields=())
        fields: list[FieldShape] = []
        for wire, part in properties.items():
            try:
                fields.append(self._field(name, wire, part, wire in required, fields))
            except Unmappable as error:
                self.notes.append(f"{name}.{wire} is left out: {error}")
                if wire in required:
                    self.incomplete.add(name)
        for wire in sorted(required - properties.keys()):
            self.notes.append(f"{name}.{wire} is left out: it is required, and not described")
            self.incomplete.add(name)
        self.types[name] = StructShape(fields=tuple(fields), doc=_doc(schema))

    def _field(
        self, owner: str, wire: str, schema: Any, required: bool, others: Iterable[FieldShape]
    ) -> FieldShape:
        name = free_name(python_name(wire), {field.name for field in others})
        shape = self.shape(schema, owner + class_name(wire))
        default = members(schema).get("default", UNSET)
        if default is not UNSET and misfit(default, shape, self.types) is not None:
            default = UNSET
        unset = not required and default is UNSET
        return FieldShape(
            name=name,
            wire_name="" if name == wire else wire,
            shape=shape,
            required=required and default is UNSET,
            default=default,
            unset=unset,
        )

    def _array(self, schema: Json, name: str) -> Shape:
        fixed = schema.get("prefixItems")
        if fixed:
            return TupleShape(items=tuple(self.shape(each, f"{name}Item") for each in fixed))
        if not schema.get("items"):
            raise Unmappable("it is an array of anything")
        return ArrayShape(
            item=self.shape(schema["items"], f"{name}Item"),
            min_length=schema.get("minItems"),
            max_length=schema.get("maxItems"),
        )

    def _union(self, schema: Json, choices: list[Any], name: str) -> Shape:
        if len(choices) == 1:
            return self.shape(choices[0], name)
        if _is_open_enum(choices):
            known = ", ".join(map(str, _choices(members(choices[0]))))
            return StrShape(doc=f"One of {known}; more may come.")
        found = [self.shape(choice, f"{name}{index + 1}") for index, choice in enumerate(choices)]
        tag_field, tags = self._tags(schema, choices)
        names: list[str] = []
        for shape, tag in zip(found, tags, strict=True):
            struct = self.types.get(shape.name) if isinstance(shape, RefShape) else None
            if not isinstance(shape, RefShape) or not isinstance(struct, StructShape):
                raise Unmappable("it is one of several, and not all of them are objects")
            if struct.tag_field not in (None, tag_field) or (
                struct.tag_field and struct.tag != tag
            ):
                raise Unmappable(f"{shape.name} is in two unions that tell it by different tags")
            left = tuple(field for field in struct.fields if field.wire != tag_field)
            self.types[shape.name] = msgspec.structs.replace(
                struct, fields=left, tag_field=tag_field, tag=tag
            )
            names.append(shape.name)
        return UnionShape(tag_field=tag_field, members=tuple(sorted(names)))

    def _tags(self, schema: Json, choices: list[Any]) -> tuple[str, list[str | int]]:
        """The member that tells the structs of a union apart, and its value in each."""
        discriminator = members(schema.get("discriminator"))
        wanted = discriminator.get("propertyName")
        mapping = {str(v): k for k, v in members(discriminator.get("mapping")).items()}
        joined = [self._joined(self.resolved(choice), 0)[0] for choice in choices]
        fields = (
            [str(wanted)]
            if wanted
            else [each for each in joined[0] if all(each in other for other in joined)]
        )
        for field in fields:
            tags = [
                self._tag(choice, properties.get(field), mapping, bool(wanted))
                for choice, properties in zip(choices, joined, strict=True)
            ]
            known = [tag for tag in tags if tag is not None]
            if len(set(known)) == len(choices) and len({type(tag) for tag in known}) == 1:
                return field, known
        raise Unmappable("it is one of several, and no member tells which")

    def _tag(
        self, choice: Any, schema: Any, mapping: Mapping[str, str], is_named: bool
    ) -> str | int | None:
        reference = str(members(choice).get("$ref", ""))
        for target, tag in mapping.items():
            if target in (reference, reference.rpartition("/")[2]):
                return tag
        found = self.resolved(schema)
        values = _choices(found)
        if len(values) == 1 and isinstance(values[0], (str, int)):
            return values[0]
        return reference.rpartition("/")[2] or None if is_named and not mapping else None


def _doc(schema: Json) -> str:
    doc = schema.get("description", "")
    return doc.strip() if isinstance(doc, str) else ""


def _choices(schema: Json) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _is_text(values: Any) -> bool:
    return all(isinstance(value, str) or value is None for value in values) and any(values)


def _is_open_enum(choices: list[Any]) -> bool:
    """Known texts, or any other: as an open enum is written."""
    if len(choices) != 2:
        return False
    known, other = _choices(members(choices[0])), members(choices[1])
    return bool(known) and _is_text(known) and other.get("type") == "string" and not _choices(other)


def _literal(values: list[Any]) -> Shape:
    given = [value for value in values if value is not None]
    if set(map(type, given)) == {bool}:
        return BoolShape()
    if len(set(map(type, given))) != 1 or not isinstance(given[0], (str, int)):
        raise Unmappable(f"it is one of {', '.join(map(repr, values))}")
    shape = LiteralShape(values=tuple(sorted(set(given))))
    return shape if len(given) == len(values) else OptionalShape(item=shape)


def _scalar(schema: Json) -> Shape:
    kind = schema.get("type")
    if kind == "string":
        return _text(schema)
    if kind == "boolean":
        return BoolShape()
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    raise Unmappable("it may be anything" if kind is None else f"it is of the type {kind}")


def _text(schema: Json) -> Shape:
    form = "byte" if schema.get("contentEncoding") == "base64" else schema.get("format")
    known = _TEXTS.get(str(form))
    if known is not None:
        return known
    pattern = schema.get("pattern")
    try:
        re.compile(pattern or "")
    except re.error:
        pattern = None  # it is written for another engine, and the other side looks anyway
    return StrShape(
        min_length=schema.get("minLength") or None,
        max_length=schema.get("maxLength"),
        pattern=pattern,
    )


def _number(schema: Json, *, whole: bool) -> Shape:
    limits: dict[str, Any] = {
        "ge": schema.get("minimum"),
        "le": schema.get("maximum"),
        "gt": schema.get("exclusiveMinimum"),
        "lt": schema.get("exclusiveMaximum"),
        "multiple_of": schema.get("multipleOf"),
    }
    for bound, strict in (("ge", "gt"), ("le", "lt")):  # OpenAPI 3.0 has a switch for it
        if limits[strict] is True:
            limits[strict], limits[bound] = limits[bound], None
        elif limits[strict] is False:
            limits[strict] = None
        elif limits[strict] is not None:
            limits[bound] = None
    if not whole:
        broken: Any = {n: None if v is None else float(v) for n, v in limits.items()}
        return FloatShape(**broken)
    fits = {n: v for n, v in limits.items() if v is not None and float(v).is_integer()}
    kept: Any = {n: int(v) for n, v in fits.items() if abs(v) < 2**63}
    return IntShape(**kept)
