"""Whether an argument is of the class that its contract names: one look, before a call within the process.

What is of another class is read as it would be on the other side of a wire, or refused as it would be there.
"""

from __future__ import annotations

from typing import Any

import msgspec

from borough.contracts.classes import classes_of, stands_for
from borough.contracts.conversion import conversion
from borough.contracts.operation import Operation, Parameter
from borough.contracts.portable import is_settled, may_be_unset, type_shape
from borough.errors import InvalidRequest

__all__ = ["Expected", "find_expected", "find_fact"]


class Expected:
    """The classes of one argument. Most values are of `kind`, which is compared first; `usual` ones are right."""

    __slots__ = ("_classes", "_made", "about", "kind", "name", "usual")

    def __init__(self, about: str, parameter: Parameter, classes: tuple[type, ...]) -> None:
        self.about = about
        self.name = parameter.name
        self.kind = classes[0]
        unset = (msgspec.UnsetType,) if may_be_unset(parameter.kind) else ()
        self._classes = classes
        self.usual = frozenset((*classes, *unset))
        self._made = conversion(parameter.kind)

    def fitted(self, value: Any) -> Any:
        """The value as the handler gets it. Raises `InvalidRequest`."""
        if type(value) in self.usual or any(stands_for(value, each) for each in self._classes):
            return value
        try:
            return self._made(msgspec.to_builtins(value))
        except (TypeError, ValueError, RecursionError):
            names = ["None" if each is type(None) else each.__name__ for each in self._classes]
        expected = " | ".join(names)
        error = InvalidRequest(
            f"{self.name} is {type(value).__name__}, expected {expected}",
            errors=[{"detail": f"expected {expected}", "parameter": self.name}],
        )
        # About the call that was made, not about the one that made it: its caller did not fail to fit.
        error.about = self.about
        raise error


def find_expected(operation: Operation, parameter: Parameter) -> Expected | None:
    """What is expected of a parameter; None where it is looked at in another way, or nothing says it."""
    classes = classes_of(type_shape(parameter.kind)) if is_settled(parameter.kind) else None
    if classes is None:
        return None
    return Expected(operation.wire_name, parameter, classes)


def find_fact(operation: Operation, parameter: Parameter) -> Expected | None:
    """The same for one of which a text is made, which no longer tells of which class it was."""
    classes = classes_of(type_shape(parameter.kind))
    return None if classes is None else Expected(operation.wire_name, parameter, classes)
