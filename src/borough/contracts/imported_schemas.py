"""JSON Schemas of other people's documents as shapes. What cannot be one is said, and left out.

A field that may be absent becomes `T | Unset`: it is not the same as null there. A union needs a member
that tells its structs apart, by a discriminator or by constants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET

from borough.contracts.fit import misfit
from borough.contracts.imported import Json, Unmappable
from borough.contracts.imported_names import class_name, free_name, member_constant, python_name
from borough.contracts.imported_scalars import length_limit, literal_shape, scalar_shape
from borough.contracts.shapes import (
    ArrayShape,
    EnumMember,
    EnumShape,
    FieldShape,
    MapShape,
    NamedShape,
    OptionalShape,
    RefShape,
    Shape,
    StrShape,
    StructShape,
    TupleShape,
    UnionShape,
    is_empty,
)

__all__ = ["ImportedSchemas", "members"]

_UNCARRIED = re.compile(r'[\x00-\x1f"\\]')
"""What no member's name can have where JSON is read into structs."""
_DEEPEST = 32


def members(part: Any) -> Json:
    """The members of an object; nothing for anything else."""
    return cast("Json", part) if isinstance(part, Mapping) else {}


class ImportedSchemas:
    """The types of one document. `types` fills up with those that are asked for, `notes` with what is left out.

    `taken`: a name that no type may have.
    """

    def __init__(self, document: Json, taken: str = "") -> None:
        self.types: dict[str, NamedShape] = {}
        self.notes: list[str] = []
        self.incomplete: set[str] = set()
        """Structs that lack a field which must be there."""
        self._document = document
        self._shapes: dict[str, Shape] = {}
        self._joins: dict[int, tuple[Json, tuple[dict[str, Any], set[str]]]] = {}
        self._one_way: set[tuple[str, str, str]] = set()
        self._taken = {taken}
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
        if is_empty(shape.item if isinstance(shape, OptionalShape) else shape):
            raise Unmappable("its limits leave no value")
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
            return shape if len(left) == len(kinds) else _or_null(shape)
        for word in ("anyOf", "oneOf"):
            choices: list[Any] = schema.get(word, [])
            left = [each for each in choices if members(each).get("type") != "null"]
            if choices and len(left) < len(choices):
                inner = left[0] if len(left) == 1 else {**schema, word: left}
                return _or_null(self.shape(inner, name))
        shape = self._meaning(schema, name)
        return _or_null(shape) if schema.get("nullable") is True else shape

    def _meaning(self, schema: Json, name: str) -> Shape:
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]))
        if "const" in schema:
            return literal_shape([schema["const"]])
        if "enum" in schema:
            return literal_shape(schema["enum"])
        for word in ("oneOf", "anyOf"):
            choices = schema.get(word)
            if choices and not _only_demand(choices):
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
        return scalar_shape(schema)

    def _referred(self, reference: str) -> Shape:
        """A named type, or what stands under the name where that needs none. Each is read once."""
        known = self._shapes.get(reference)
        if known is not None:
            return known
        target = members(self._target(reference))
        wanted = reference.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        schema, may_be_null = _without_null(target)
        if _is_text(schema.get("enum", ())):
            shape = self._enum(wanted, schema)
        elif _is_open_enum(schema.get("anyOf", [])):
            texts = {**members(schema["anyOf"][0]), "description": schema.get("description")}
            shape = self._enum(wanted, texts, is_open=True)
        elif self._is_struct(schema):
            return self._named_struct(reference, wanted, schema, may_be_null)
        else:
            shape, may_be_null = self.shape(target, class_name(wanted)), False
        self._shapes[reference] = _or_null(shape) if may_be_null else shape
        return self._shapes[reference]

    def _named_struct(self, reference: str, wanted: str, schema: Json, may_be_null: bool) -> Shape:
        name = self._take(wanted)
        shape: Shape = RefShape(name=name)
        # Known before it is read, so that it may contain itself.
        self._shapes[reference] = shape = _or_null(shape) if may_be_null else shape
        try:
            self._struct(name, schema)
        except Unmappable:
            del self._shapes[reference]
            self.types.pop(name, None)
            raise
        return shape

    def _take(self, wanted: str) -> str:
        *_, last = parts = [part for part in wanted.split(".") if part] or [wanted]
        if last == "Input" and len(parts) > 1:
            last = f"{parts[-2]}Input"  # as Borough calls what is only sent
        name = class_name(last)
        name = free_name(class_name(wanted), self._taken) if name in self._taken else name
        self._taken.add(name)
        return name

    def _is_struct(self, schema: Json) -> bool:
        if isinstance(schema.get("type"), list):
            return False
        if schema.get("allOf"):
            return bool(self._joined(schema, 0)[0])
        return bool(schema.get("properties"))

    def _enum(self, wanted: str, schema: Json, *, is_open: bool = False) -> Shape:
        values = [*dict.fromkeys(value for value in _choices(schema) if value is not None)]
        name = self._take(wanted)
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
        return RefShape(name=name)

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
            min_length=length_limit(schema, "minProperties"),
            max_length=length_limit(schema, "maxProperties"),
        )

    def _joined(self, schema: Json, depth: int) -> tuple[dict[str, Any], set[str]]:
        """Properties and required members of an object, with those of `allOf`."""
        if depth > _DEEPEST:
            raise Unmappable("its allOf has no end")
        known = self._joins.get(id(schema))
        if known is not None:
            return known[
                1
            ]  # one that names another twice, at each of thirty levels, has no end either
        properties: dict[str, Any] = {}
        required: set[str] = set()
        for part in schema.get("allOf", ()):
            more, needed = self._joined(self.resolved(part), depth + 1)
            properties.update(more)
            required |= needed
        properties.update(members(schema.get("properties")))
        found = properties, required | set(schema.get("required", ()))
        self._joins[id(schema)] = schema, found
        return found

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
                if wire in required and members(part).get("readOnly") is not True:
                    self.incomplete.add(name)
        for wire in sorted(required - properties.keys()):
            self.notes.append(f"{name}.{wire} is left out: it is required, and not described")
            self.incomplete.add(name)
        self._leave_out_forms(name, schema, properties)
        self.types[name] = StructShape(fields=tuple(fields), doc=_doc(schema))

    def _leave_out_forms(self, name: str, schema: Json, properties: Json) -> None:
        """Say where an object has members in only one of several forms, beside those that it always has."""
        for choices in self._forms(schema, 0, set()):
            forms = [self._joined(choice, 0) for choice in choices]
            if any(more.keys() - properties.keys() for more, _ in forms):
                self.notes.append(f"{name}: what it has in one of several forms alone is left out")
                if all(needed - properties.keys() for _, needed in forms):
                    self.incomplete.add(name)

    def _forms(self, schema: Json, depth: int, seen: set[int]) -> Iterator[list[Json]]:
        """The choices of each `oneOf` and `anyOf` that is part of an object, each schema once."""
        if depth > _DEEPEST:
            raise Unmappable("its allOf has no end")
        if id(schema) in seen:
            return
        seen.add(id(schema))
        for word in ("oneOf", "anyOf"):
            if schema.get(word):
                yield [self.resolved(choice) for choice in schema[word]]
        for part in schema.get("allOf", ()):
            yield from self._forms(self.resolved(part), depth + 1, seen)

    def _field(
        self, owner: str, wire: str, schema: Any, required: bool, others: Iterable[FieldShape]
    ) -> FieldShape:
        if _UNCARRIED.search(wire):
            raise Unmappable("its name has quotes, backslashes or control characters")
        name = free_name(python_name(wire), {field.name for field in others})
        shape = self.shape(schema, owner + class_name(wire))
        default = members(schema).get("default", UNSET)
        if default is not UNSET and misfit(default, shape, self.types, is_own=False):
            default = UNSET
        unset = not required and default is UNSET
        for way in ("readOnly", "writeOnly"):
            if members(schema).get(way) is True:
                self._one_way.add((way, owner, wire))
        return FieldShape(
            name=name,
            wire_name="" if name == wire else wire,
            shape=shape,
            required=required and default is UNSET,
            default=default,
            unset=unset,
        )

    def loosen(self, sent: Iterable[str], told: Iterable[str]) -> None:
        """Let be absent what is only read in the types that are sent, and only written in those that are told."""
        for way, names in (("readOnly", set(sent)), ("writeOnly", set(told))):
            for name in names:
                struct = self.types.get(name)
                if isinstance(struct, StructShape):
                    fields = tuple(
                        msgspec.structs.replace(field, required=False, unset=True)
                        if field.required and (way, name, field.wire) in self._one_way
                        else field
                        for field in struct.fields
                    )
                    self.types[name] = msgspec.structs.replace(struct, fields=fields)

    def _array(self, schema: Json, name: str) -> Shape:
        fixed = schema.get("prefixItems")
        if fixed:
            return TupleShape(items=tuple(self.shape(each, f"{name}Item") for each in fixed))
        if not schema.get("items"):
            raise Unmappable("it is an array of anything")
        return ArrayShape(
            item=self.shape(schema["items"], f"{name}Item"),
            min_length=length_limit(schema, "minItems"),
            max_length=length_limit(schema, "maxItems"),
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
        if len(mapping) < len(members(discriminator.get("mapping"))):
            raise Unmappable("it is one of several, and one of them has two tags")
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
        only = values[0] if len(values) == 1 else None
        if isinstance(only, (str, int)) and not isinstance(only, bool):
            return only
        return reference.rpartition("/")[2] or None if is_named and not mapping else None


def _items(part: Any) -> list[Any]:
    """The items of an array; none of anything else."""
    return [*cast("Iterable[Any]", part)] if isinstance(part, list) else []


def _or_null(shape: Shape) -> Shape:
    return shape if isinstance(shape, OptionalShape) else OptionalShape(item=shape)


def _without_null(schema: Json) -> tuple[Json, bool]:
    """The schema of a value that is there, and whether it may be null instead."""
    found = dict(schema)
    may_be_null = found.pop("nullable", False) is True
    kinds, values = _items(found.get("type")), _items(found.get("enum"))
    if kinds.count("null") == len(kinds) - 1 == 1:
        found["type"] = next(kind for kind in kinds if kind != "null")
        may_be_null = True
    if None in values:
        found["enum"] = [value for value in values if value is not None]
        may_be_null = True
    return found, may_be_null


def _doc(schema: Json) -> str:
    doc = schema.get("description", "")
    return doc.strip() if isinstance(doc, str) else ""


def _choices(schema: Json) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _only_demand(choices: list[Any]) -> bool:
    """Whether they are no forms of their own, and only tell which members must be there together."""
    return all(members(choice).keys() <= {"required", "not", "title"} for choice in choices)


def _is_text(values: Any) -> bool:
    return all(isinstance(value, str) for value in values) and any(values)


def _is_open_enum(choices: list[Any]) -> bool:
    """Known texts, or any other: as an open enum is written."""
    if len(choices) != 2:
        return False
    known, other = _choices(members(choices[0])), members(choices[1])
    return bool(known) and _is_text(known) and other.get("type") == "string" and not _choices(other)
