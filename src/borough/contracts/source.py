"""Where a declaration stands: file and line of a class, function or field; faults with their place.

Source is read only once there is a fault to place, so that a start without faults pays nothing.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from borough.errors import Fault

__all__ = ["FaultList", "field_place", "same_name", "source_place"]


def source_place(thing: Any) -> tuple[str, int]:
    """File and line where a class or function stands; `("", 0)` when it has no source."""
    code = getattr(thing, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    try:
        return inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return "", 0


def field_place(cls: type[Any], name: str) -> tuple[str, int]:
    """File and line of a field, in the class that declares it; else of the class."""
    for owner in cls.__mro__:
        try:
            lines, first = inspect.getsourcelines(owner)
            body = ast.parse(textwrap.dedent("".join(lines))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue
        for node in getattr(body, "body", ()):
            targets = (
                [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return inspect.getsourcefile(owner) or "", first + node.lineno - 1
    return source_place(cls)


def same_name(name: str, one: type[Any], other: type[Any]) -> tuple[str, str]:
    """What is wrong with two contracts of one name, and the remedy: often it is one file, loaded twice."""
    place = source_place(one)
    if one.__module__ == other.__module__ or place != source_place(other) or not place[0]:
        file, line = source_place(other)
        return f"two contracts are named {name}", f"Rename one; the other is {file}:{line}"
    modules = sorted((one.__module__, other.__module__), key=len)
    return (
        f"the contract {name} was loaded as `{modules[0]}` and `{modules[1]}`",
        f"Import it as `{modules[1]}` everywhere",
    )


class FaultList:
    """Faults as they are found; none stops the reading."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, message: str, remedy: str, at: Any, field: str | None = None) -> None:
        """Note a fault at a class or function, or at a field of a class."""
        file, line = source_place(at) if field is None else field_place(at, field)
        self.faults.append(Fault(message, remedy, file or None, line or None))
