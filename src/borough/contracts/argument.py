"""Whether an argument is of the class that its contract names: one look, before a call within the process."""

from __future__ import annotations

from typing import Any

from borough.contracts.operation import Operation, Parameter
from borough.contracts.portable import is_plain, stands_for
from borough.errors import InvalidRequest

__all__ = ["Expected", "find_expected"]


class Expected:
    """The class of one argument. Most values are of the class itself, which whoever looks compares first."""

    __slots__ = ("about", "kind", "name")

    def __init__(self, about: str, name: str, kind: type) -> None:
        self.about = about
        self.name = name
        self.kind = kind

    def look_again(self, value: Any) -> None:
        """A subclass may do. Else raises `InvalidRequest`."""
        kind = self.kind
        if stands_for(value, kind):
            return
        error = InvalidRequest(
            f"{self.name} is {type(value).__name__}, expected {kind.__name__}",
            errors=[{"detail": f"expected {kind.__name__}", "parameter": self.name}],
        )
        # About the call that was made, not about the one that made it: its caller did not fail to fit.
        error.about = self.about
        raise error


def find_expected(operation: Operation, parameter: Parameter) -> Expected | None:
    """What is expected of a parameter; None where no single class says it."""
    kind = is_plain(parameter.kind)
    return None if kind is None else Expected(operation.wire_name, parameter.name, kind)
