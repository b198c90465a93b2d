"""Field numbers that stay: given once, kept in a lock file beside the contract, never given again.

A field that goes leaves its number reserved; one that is renamed is a new field with a new number. A
field that keeps its name and takes another type would be misread by whoever has the old one, so that
is refused. Without a lock the numbers follow the order of declaration, and so are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from borough.contracts.proto import (
    ProtoEnum,
    ProtoField,
    ProtoFile,
    ProtoMessage,
    ProtoValue,
    Reserved,
)
from borough.contracts.struct import Struct
from borough.contracts.unreadable import UNREADABLE
from borough.errors import ConfigurationError

__all__ = ["ProtoLock", "numbered", "read_lock", "write_lock"]

FORMAT = 1
_LAST = 536_870_911
_OWN = range(19_000, 20_000)
"""Numbers that protobuf keeps for itself."""


class _Locked(Struct, forbid_unknown_fields=True):
    """A message or an enum: `TYPE = NUMBER` of each field by its name, `NAME = NUMBER` of those that are
    gone."""

    fields: Mapping[str, str] = {}
    reserved: tuple[str, ...] = ()


class ProtoLock(Struct, forbid_unknown_fields=True):
    """The lock file of a module: the types of its contracts, by the contracts' wire names."""

    format: int = FORMAT
    contracts: Mapping[str, Mapping[str, _Locked]] = {}


def read_lock(data: bytes, place: str) -> ProtoLock:
    """Read a lock file; `place` names it. Raises `ConfigurationError`."""
    remedy = "restore it from version control: numbers that were given cannot be guessed"
    try:
        lock = msgspec.json.decode(data, type=ProtoLock)
    except UNREADABLE as error:
        raise ConfigurationError(
            f"{place} is no lock of field numbers ({error}); {remedy}"
        ) from None
    if lock.format != FORMAT:
        raise ConfigurationError(
            f"{place} has format {lock.format}, this Borough reads format {FORMAT}; "
            "use a Borough of the version that wrote it, or a newer one"
        )
    for contract, types in lock.contracts.items():
        for name, locked in types.items():
            given = [_number(each) for each in (*locked.fields.values(), *locked.reserved)]
            if len(set(given)) < len(given) or not all(0 < each <= _LAST for each in given):
                raise ConfigurationError(
                    f"{place} gives a number of {name} in {contract} twice, or one that cannot be; {remedy}"
                )
    return lock


def write_lock(lock: ProtoLock) -> bytes:
    """The file's text: the same bytes for the same numbers."""
    return msgspec.json.format(msgspec.json.encode(lock, order="sorted"), indent=1) + b"\n"


def numbered(file: ProtoFile, lock: ProtoLock, place: str) -> tuple[ProtoFile, ProtoLock]:
    """The file with its numbers, and the lock with those that are new.

    Raises `ConfigurationError` where a type has changed under a name that the lock knows.
    """
    before = lock.contracts.get(file.contract, {})
    after = {name: _closed(locked) for name, locked in before.items()}
    messages: dict[str, ProtoMessage] = {}
    enums: dict[str, ProtoEnum] = {}
    for name, message in file.messages.items():
        numbers = _Numbers(f"{file.contract}: {name}", before.get(name, _Locked()), place)
        fields = [
            replace(each, number=numbers.of(each.name, _signature(each))) for each in message.fields
        ]
        messages[name] = replace(message, fields=tuple(fields), reserved=numbers.gone())
        after[name] = numbers.locked()
    for name, enum in file.enums.items():
        numbers = _Numbers(f"{file.contract}: {name}", before.get(name, _Locked()), place)
        values = [
            each if each.value is None else replace(each, number=numbers.of(each.name, _told(each)))
            for each in enum.values
        ]
        enums[name] = replace(enum, values=tuple(values), reserved=numbers.gone())
        after[name] = numbers.locked()
    contracts = {**lock.contracts, file.contract: after}
    return replace(file, messages=messages, enums=enums), replace(lock, contracts=contracts)


def _signature(field: ProtoField) -> str:
    """What a number's reader relies on; whether presence is told is not part of it."""
    return f"{field.label} {field.type}" if field.label in ("repeated", "map") else field.type


def _number(line: str) -> int:
    """The number at the end of a line; 0, which none may have, where there is none."""
    text = line.rpartition(" = ")[2]
    return int(text) if text.isdecimal() else 0


def _what(line: str) -> str:
    return line.rpartition(" = ")[0]


def _told(value: ProtoValue) -> str:
    return msgspec.json.encode(value.value).decode()


def _closed(locked: _Locked) -> _Locked:
    """What is left of a type that is gone: its numbers, should it come back."""
    gone = [f"{name} = {_number(line)}" for name, line in locked.fields.items()]
    return _Locked(reserved=_sorted([*locked.reserved, *gone]))


def _sorted(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(lines, key=_number))


class _Numbers:
    """The numbers of one type while its fields ask for theirs, in their order."""

    def __init__(self, about: str, before: _Locked, place: str) -> None:
        self._about = about
        self._before = before
        self._place = place
        self._given: dict[str, str] = {}
        taken = [_number(line) for line in (*before.fields.values(), *before.reserved)]
        self._last = max(taken, default=0)

    def of(self, name: str, signature: str) -> int:
        """The number of a field. Raises `ConfigurationError` where its type is another one now."""
        known = self._before.fields.get(name)
        if known is None:
            self._last += 1
            if self._last in _OWN:
                self._last = _OWN.stop
            known = f"{signature} = {self._last}"
        elif _what(known) != signature:
            raise ConfigurationError(
                f"{self._about}.{name} is {signature} now, and {_what(known)} in {self._place}: whoever has "
                "the old protobuf would misread it. Give the field another name, or the contract a new "
                "major version"
            )
        self._given[name] = known
        return _number(known)

    def _gone(self) -> tuple[str, ...]:
        fields = self._before.fields.items()
        lost = [f"{name} = {_number(line)}" for name, line in fields if name not in self._given]
        return _sorted([*self._before.reserved, *lost])

    def gone(self) -> Reserved:
        """What may never be given again."""
        return tuple((_number(line), _what(line)) for line in self._gone())

    def locked(self) -> _Locked:
        """What the lock keeps of the type."""
        return _Locked(fields=self._given, reserved=self._gone())
