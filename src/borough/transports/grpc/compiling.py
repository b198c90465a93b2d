"""Between protobuf messages and values of Python, by functions written and compiled once for a contract.

Of a message a reader makes what `msgspec.convert` takes: it never refuses, and what protobuf cannot
mean (an enum's zero, a time beyond all calendars) goes on as a value that the contract refuses, with
its place. Of a value a writer makes what the constructor of a message takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from keyword import iskeyword
from typing import Any

from msgspec import UNSET

from borough.contracts.proto import (
    NULL,
    SCALARS,
    TIMESTAMP,
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
)

__all__ = ["Converters"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Converters:
    """The messages of a file, both ways, by name."""

    def __init__(self, file: ProtoFile) -> None:
        self._file = file
        self._known: dict[str, Any] = {
            "UNSET": UNSET,
            "read_time": _read_time,
            "write_time": _write_time,
        }
        for enum in file.enums.values():
            self._known[f"read_{enum.name}"] = _enum_reader(enum)
            self._known[f"write_{enum.name}"] = _enum_writer(enum)
        lines: list[str] = []
        for message in file.messages.values():
            lines += [f"def read_{message.name}(m):", *self._reader(message)]
            lines += [f"def write_{message.name}(v):", *self._writer(message)]
        exec(compile("\n".join(lines), f"<protobuf of {file.contract}>", "exec"), self._known)

    def read(self, name: str) -> Callable[[Any], Any]:
        """What turns this message into a value."""
        found: Callable[[Any], Any] = self._known[f"read_{name}"]
        return found

    def write(self, name: str) -> Callable[[Any], dict[str, Any]]:
        """What turns a value into the fields of this message, by name."""
        found: Callable[[Any], dict[str, Any]] = self._known[f"write_{name}"]
        return found

    # --- reading ---------------------------------------------------------------------------------

    def _reader(self, message: ProtoMessage) -> Iterator[str]:
        fields, first = message.fields, message.fields[0] if message.fields else None
        if message.role == "object":
            yield from self._object_reader(message)
        elif message.role == "tuple":
            yield f"  return [{', '.join(map(self._read_or_none, fields))}]"
        elif message.role == "union":
            for field in fields:
                yield f"  if m.HasField({field.name!r}): return {self._read(field)}"
            yield "  return {}"  # a member that is not known here: no object of the union, and no null
        elif first is not None:
            yield f"  return {self._read_or_none(first)}"

    def _object_reader(self, message: ProtoMessage) -> Iterator[str]:
        sure: list[str] = []
        if message.tag_field is not None:
            sure.append(f"{message.tag_field!r}: {message.tag!r}")
        unsure: list[str] = []
        for field in message.fields:
            if field.type == NULL:
                unsure.append(f"  if m.HasField({field.name!r}): v[{field.wire!r}] = None")
            elif self._is_sure(field):
                sure.append(f"{field.wire!r}: {self._read(field)}")
            elif field.absent_is_null:
                sure.append(f"{field.wire!r}: {self._read_or_none(field)}")
            elif field.label or field.oneof or field.type not in self._file.enums:
                told = f"v[{field.wire!r}] = {self._read(field)}"
                unsure.append(f"  if m.HasField({field.name!r}): {told}")
            else:  # an enum's zero is no value
                told = f"v[{field.wire!r}] = {self._read(field)}"
                unsure.append(f"  if {_field(field)}: {told}")
        yield f"  v = {{{', '.join(sure)}}}"
        yield from unsure
        yield "  return v"

    def _is_sure(self, field: ProtoField) -> bool:
        """Whether its value can always be read."""
        is_many = field.label in ("repeated", "map")
        return is_many or (not field.label and not field.oneof and field.type in SCALARS)

    def _read_or_none(self, field: ProtoField) -> str:
        is_plain = field.type in SCALARS or field.type in self._file.enums
        if field.label in ("repeated", "map") or (is_plain and not field.label):
            return self._read(field)
        return f"({self._read(field)} if m.HasField({field.name!r}) else None)"

    def _read(self, field: ProtoField) -> str:
        """The expression that reads the field of `m`."""
        value, is_same = _field(field), field.type in SCALARS
        if field.label == "repeated":
            return (
                f"list({value})" if is_same else f"[{self._read_one(field, 'x')} for x in {value}]"
            )
        if field.label == "map":
            one = "x" if is_same else self._read_one(field, "x")
            return f"{{k: {one} for k, x in {value}.items()}}"
        return value if is_same else self._read_one(field, value)

    def _read_one(self, field: ProtoField, value: str) -> str:
        return f"read_time({value})" if field.type == TIMESTAMP else f"read_{field.type}({value})"

    # --- writing ---------------------------------------------------------------------------------

    def _writer(self, message: ProtoMessage) -> Iterator[str]:
        if message.role == "union":
            tags = {self._file.messages[f.type].tag: f for f in message.fields}
            yield "  tag = type(v).__struct_config__.tag"
            for tag, field in tags.items():
                yield f"  if tag == {tag!r}: return {{{field.name!r}: write_{field.type}(v)}}"
            yield "  raise TypeError(f'{type(v).__name__} is none of the union')"
            return
        if message.role == "object":
            yield from self._object_writer(message)
            return
        yield "  f = {}"
        for number, field in enumerate(message.fields):
            yield f"  x = v[{number}]" if message.role == "tuple" else "  x = v"
            yield from self._put(field)
        yield "  return f"

    def _object_writer(self, message: ProtoMessage) -> Iterator[str]:
        sure = [field for field in message.fields if self._is_sure(field) and not field.label]
        told = [f"{f.name!r}: {self._write_one(f, f'v.{f.attribute}')}" for f in sure]
        yield f"  f = {{{', '.join(told)}}}"
        for field in message.fields:
            if field.type == NULL:
                yield f"  if v.{field.attribute} is None: f[{field.name!r}] = 0"
            elif field not in sure:
                yield f"  x = v.{field.attribute}"
                yield from self._put(field)
        yield "  return f"

    def _put(self, field: ProtoField) -> Iterator[str]:
        """Write `x` into the field, where there is something to write."""
        if field.label == "repeated":
            one = self._write_one(field, "y")
            yield f"  if x: f[{field.name!r}] = {'list(x)' if one == 'y' else f'[{one} for y in x]'}"
        elif field.label == "map":
            one = self._write_one(field, "y")
            yield f"  if x: f[{field.name!r}] = {{k: {one} for k, y in x.items()}}"
        elif self._is_maybe(field):
            yield f"  f[{field.name!r}] = write_{field.type}(x)"
        else:
            told = f"f[{field.name!r}] = {self._write_one(field, 'x')}"
            yield f"  if x is not None and x is not UNSET: {told}"

    def _is_maybe(self, field: ProtoField) -> bool:
        message = self._file.messages.get(field.type)
        return message is not None and message.role == "maybe"

    def _write_one(self, field: ProtoField, value: str) -> str:
        """The expression that writes one value."""
        if field.is_text:
            return f"str({value})"
        if field.type in SCALARS:
            return value
        return f"write_time({value})" if field.type == TIMESTAMP else f"write_{field.type}({value})"


def _field(field: ProtoField) -> str:
    """The expression for a field of `m`; protobuf may have Python's keywords as names."""
    return f"getattr(m, {field.name!r})" if iskeyword(field.name) else f"m.{field.name}"


def _read_time(found: Any) -> datetime | str:
    try:
        return _EPOCH + timedelta(0, found.seconds, found.nanos // 1000)
    except OverflowError:
        return f"{found.seconds} s since 1970"  # which is no time, and refused as such


def _write_time(value: datetime) -> dict[str, int]:
    since = value - _EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}


def _enum_reader(enum: ProtoEnum) -> Callable[[int], Any]:
    """A number as its value: None for the zero, and what no enum has for a number that is not known."""
    known = {each.number: each.value for each in enum.values}
    unknown = enum.unknown
    if unknown is None:
        return lambda number: known.get(number, f"number {number}")
    return lambda number: known.get(number, unknown)


def _enum_writer(enum: ProtoEnum) -> Callable[[Any], int]:
    known = {each.value: each.number for each in enum.values}
    return lambda member: known.get(member.value, 0)
