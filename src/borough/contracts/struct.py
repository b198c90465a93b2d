"""Values that travel: frozen, typed, compared by content. Built on msgspec.

`Struct` is any value of a contract, `Event` a fact that has happened, `Key` marks the field that
keeps an event's order. Constraints stand in `Annotated[..., Meta(...)]`, on every transport.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, dataclass_transform

import msgspec
from msgspec import UNSET, Meta, StructMeta, UnsetType, field

__all__ = [
    "UNSET",
    "Event",
    "Instant",
    "Key",
    "Meta",
    "OpenEnum",
    "Page",
    "Struct",
    "Unset",
    "field",
]

T = TypeVar("T")

Key = Annotated[T, Meta(extra={"borough": "key"})]
"""Marks the one field of an event by which order is kept."""

Instant = Annotated[datetime, Meta(tz=True)]
"""A point in time: an aware `datetime`, never a naive one."""

Unset = UnsetType
"""`T | Unset = UNSET`: a field that may be absent, which is then not the same as null."""


class _Frozen(StructMeta):
    """Sets the defaults; without `dataclass_transform`, for in mypy msgspec's own would win."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        options.setdefault("frozen", True)
        options.setdefault("kw_only", True)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Struct(msgspec.Struct, metaclass=_Frozen, frozen=True):
    """A frozen value. Fields are keyword-only; `tag=True` makes it a member of a tagged union."""


EVENT_VERSION = "__borough_version__"


class _FrozenEvent(_Frozen):
    """Keeps the version that a class says it is; a version is not inherited."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        namespace[EVENT_VERSION] = options.pop("version", 1)
        return super().__new__(mcls, name, bases, namespace, **options)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Event(msgspec.Struct, metaclass=_FrozenEvent, frozen=True):
    """A fact that has happened, published by one service, heard by any. Named in the past tense.

    `class X(Event, version=2)` is its second form; `@upcast` leads from the first to it.
    """


class Page(Struct, Generic[T]):
    """One page of a longer list; `next` is the cursor of the next page, null on the last one."""

    items: tuple[T, ...]
    next: str | None = None


class OpenEnum(enum.Enum):
    """An enum that may grow: readers see a value they do not know as the member `UNKNOWN`."""

    @classmethod
    def _missing_(cls, value: object) -> OpenEnum | None:
        return cls.__members__.get("UNKNOWN")
