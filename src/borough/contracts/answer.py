"""Whether an answer is of the class that its contract names: one look, in the process as at a door.

What is of another class is read as it would be on the other side of a wire: a mapping with the fields of
a struct will do, a number in place of it will not. What stands inside a value of the right class is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from borough.contracts.classes import classes_of, stands_for
from borough.contracts.marks import Reply
from borough.contracts.operation import Operation
from borough.contracts.portable import type_shape
from borough.errors import ServiceFailure

__all__ = ["Fit", "find_fit"]


class Fit:
    """What an operation answers. A value whose class is in `usual` is right at once, mostly `first`.

    No `classes`: any value will do.
    """

    __slots__ = ("_classes", "_is_reply", "_kind", "_name", "first", "usual")

    def __init__(self, operation: Operation, classes: tuple[type, ...]) -> None:
        # What stands in a reply is always looked at.
        self.first = _Unusual if operation.is_reply or not classes else classes[0]
        self.usual = frozenset(classes)
        self._classes = classes
        self._is_reply = operation.is_reply
        self._kind = operation.result
        self._name = operation.wire_name

    def fitted(self, value: Any) -> Any:
        """The value as whoever called would read it. Raises `ServiceFailure`."""
        if type(value) in self.usual or not self._classes:
            return value
        if self._kind is type(None):
            return None  # nothing is sent
        if any(stands_for(value, each) for each in self._classes):
            return value
        try:
            plain = msgspec.to_builtins(value, builtin_types=(bytes,))
            return msgspec.convert(plain, self._kind)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._unfit(value, str(error)) from None

    def _unfit(self, value: Any, reason: str) -> ServiceFailure:
        expected = " | ".join(each.__name__ for each in self._classes) or "a value"
        return ServiceFailure(
            f"{self._name} answered out of contract: {type(value).__name__} in place of {expected} ({reason})"
        )

    def answered(self, answer: Any) -> Any:
        """The same for what a handler returns: a `Reply` where the contract says so, or just its value."""
        if not isinstance(answer, Reply):
            value = self.fitted(answer)
            return Reply(value=value) if self._is_reply else value
        if not self._is_reply:
            raise self._unfit(answer, "its contract does not say `-> Reply[...]`")
        reply = cast("Any", answer)
        value, headers = self.fitted(reply.value), reply.headers
        if headers:  # whoever reads them from a wire finds names in lower case
            headers = _lowered(headers)
        elif value is reply.value:
            return reply
        return msgspec.structs.replace(reply, value=value, headers=headers)


class _Unusual:
    """No value is of this class: each is looked at."""


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """By names in lower case; what stands under two forms of a name is one list (RFC 9110, 5.3)."""
    lowered: dict[str, str] = {}
    for name, text in headers.items():
        before = lowered.get(name.lower())
        lowered[name.lower()] = text if before is None else f"{before}, {text}"
    return lowered


def find_fit(operation: Operation) -> Fit:
    """What an operation answers."""
    return Fit(operation, classes_of(type_shape(operation.result)) or ())
