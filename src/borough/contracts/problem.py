"""Declared errors. A problem is an exception in code and RFC 9457 on the wire.

`class CardDeclined(Problem, status=402)` with annotated fields gets a payload struct of the same
fields; status and fields are inherited; the exception copies and pickles.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, ClassVar, dataclass_transform

import msgspec

__all__ = ["RESERVED_MEMBERS", "Problem", "made_of", "members_of", "wire_names"]

RESERVED_MEMBERS = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "trace_id", "errors", "retryable"}
)
"""Members of the problem document that a field may not shadow, save `detail`, which it may fill."""


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a problem carries: one struct per problem, generated from its annotations."""


def _rebuild(kind: type[Problem], values: dict[str, Any]) -> Problem:
    problem = kind.__new__(kind)  # without a constructor of its own, which takes what it likes
    Problem.__init__(problem, **values)
    return problem


def made_of(kind: type[Problem], payload: msgspec.Struct | Problem) -> Problem:
    """A problem with the fields that were read of it, or that another has which inherits from it."""
    return _rebuild(kind, {name: getattr(payload, name) for name in kind.payload.__struct_fields__})


@dataclass_transform(kw_only_default=True)
class Problem(Exception):
    """A declared error of an operation. Its docstring's first line is the title on the wire.

    `status` is the HTTP status (400 unless given or inherited), `payload` the generated struct.
    """

    status: ClassVar[int] = 400
    payload: ClassVar[type[msgspec.Struct]] = _Payload

    def __init_subclass__(cls, *, status: int | None = None) -> None:
        super().__init_subclass__()
        if status is not None:
            cls.status = status
        own: list[Any] = []
        for name, kind in inspect.get_annotations(cls).items():
            if "ClassVar" in str(kind):
                continue
            own.append((name, kind, cls.__dict__[name]) if name in cls.__dict__ else (name, kind))
        cls.payload = msgspec.defstruct(
            cls.__name__,
            own,
            bases=(cls.payload,),
            module=cls.__module__,
            frozen=True,
            kw_only=True,
        )

    def __init__(self, **fields: Any) -> None:
        value = self.payload(**fields)
        for name in value.__struct_fields__:
            setattr(self, name, getattr(value, name))
        super().__init__(*(getattr(value, name) for name in value.__struct_fields__))

    @property
    def values(self) -> dict[str, Any]:
        """The declared fields by name."""
        return {name: getattr(self, name) for name in self.payload.__struct_fields__}

    @classmethod
    def title(cls) -> str:
        """The first line of the docstring, else the name."""
        return ((cls.__doc__ or "").strip() or cls.__name__).splitlines()[0]

    def __str__(self) -> str:
        given = {name: value for name, value in self.values.items() if value is not msgspec.UNSET}
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.items())
        return f"{self.title()} ({shown})" if shown else self.title()

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other) and self.values == other.values
            if isinstance(other, Problem)
            else NotImplemented
        )

    def __hash__(self) -> int:
        return hash((type(self), self.args))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.values)


def _shown(value: Any) -> str:
    """A field as callers in any language know it, since the text goes out as `detail`."""
    try:
        return repr(msgspec.to_builtins(value))
    except (TypeError, ValueError, RecursionError):  # what is out of contract is told elsewhere
        return repr(value)


def members_of(problem: Problem) -> dict[str, Any]:
    """The declared fields as they stand in JSON: by their names there, and without those that are unset."""
    given = ((wire, getattr(problem, name)) for name, wire in wire_names(problem))
    return {wire: value for wire, value in given if value is not msgspec.UNSET}


def wire_names(problem: Problem | type[Problem]) -> Iterator[tuple[str, str]]:
    """Each declared field by its name in code, and that in JSON."""
    payload = problem.payload
    return zip(payload.__struct_fields__, payload.__struct_encode_fields__, strict=True)
