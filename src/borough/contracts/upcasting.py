"""Old versions of an event: how their data becomes that of the version that the code knows.

`class Priced(Event, version=3)` is the third form of an event, without `version` the first. A
function marked `@upcast(n)` in the class makes data of version n + 1 out of data of version n, so that a chain
leads from each old version to the present one. A class only keeps its marks; `judge` finds what is
wrong with them when a contract is read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from borough.contracts.struct import EVENT_VERSION, Event

__all__ = ["Upcast", "judge_versions", "upcast", "upcasts_of", "version_of"]

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
U = TypeVar("U", bound=Upcast)

UPCAST_MARK = "__borough_upcast__"
_MOST_VERSIONS = 1000
Told = tuple[str, str, Any]
"""A fault, its remedy, and where it stands."""


def upcast(version: int) -> Callable[[U], U]:
    """Mark a static method of an event that takes data of `version`, as it was in JSON, and returns
    that of the next version. It may change and return what it is given."""

    def apply(function: U) -> U:
        setattr(function, UPCAST_MARK, version)
        return function

    return apply


def version_of(event: type[Event]) -> int:
    """The version that the class is."""
    version: int = vars(event).get(EVENT_VERSION, 1)
    return version


def upcasts_of(event: type[Event]) -> Mapping[int, Upcast]:
    """The class's own upcasts, by the version that each takes."""
    return dict(_marked(event))


def _marked(event: type[Event]) -> Iterator[tuple[Any, Any]]:
    for value in vars(event).values():
        function = getattr(value, "__func__", value)  # @upcast stands above @staticmethod, or below
        version: Any = getattr(value, UPCAST_MARK, getattr(function, UPCAST_MARK, None))
        if version is not None:
            yield version, function


def judge_versions(event: type[Event]) -> Iterator[Told]:
    """What is wrong with the version of an event and with its upcasts."""
    name, version = event.__name__, version_of(event)
    if not _is_version(version) or version > _MOST_VERSIONS:
        yield f"event {name} has version {version!r}", "Write a whole number, 1 or more", event
        return
    seen: set[int] = set()
    for given, function in _marked(event):
        what = f"{name}.{getattr(function, '__name__', function)}"
        if not _is_version(given) or given >= version:
            message = f"{what} takes version {given!r} of an event that is version {version}"
            yield message, "Take a version below that of the event", function
        elif given in seen:
            yield f"event {name} has two upcasts of version {given}", "Keep one", function
        elif not _takes_data(function):
            remedy = "Write `@staticmethod def name(data: dict[str, Any]) -> dict[str, Any]`"
            yield f"{what} does not take data alone and return it", remedy, function
        seen.add(given)
    missing = sorted(set(range(1, version)) - seen)
    if missing:
        said = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
        remedy = f"Write `@staticmethod @upcast({missing[0]}) def name(data)`, one for each"
        yield (
            f"event {name} is version {version}, and nothing upcasts version {said}",
            remedy,
            event,
        )


def _is_version(version: object) -> bool:
    return type(version) is int and version >= 1


def _takes_data(function: Any) -> bool:
    if inspect.iscoroutinefunction(function):
        return False
    try:
        inspect.signature(function).bind({})
    except (TypeError, ValueError):
        return False
    return True
