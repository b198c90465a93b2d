"""How things are named in protobuf: `PascalCase`, `lower_snake_case`, and no name twice."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["NameSet", "pascal", "snake"]

_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")
_STRANGE = re.compile(r"[^A-Za-z0-9]+")


def snake(name: str) -> str:
    """`orderId` as `order_id`; what protobuf cannot have in a name is left out."""
    words = [word for part in _STRANGE.split(name) for word in _NEW_WORD.split(part) if word]
    text = "_".join(words).lower()
    return text if text[:1].isalpha() else f"field_{text}".rstrip("_")


def pascal(name: str) -> str:
    """`put_in_basket` as `PutInBasket`; capitals stay."""
    text = "".join(word[:1].upper() + word[1:] for word in _STRANGE.split(name))
    return text if text[:1].isalpha() else f"Type{text}"


class NameSet:
    """Names of one scope. Two that differ only in `_` and case are one, as in protobuf's JSON names,
    unless the scope `is_exact`."""

    def __init__(self, *, is_exact: bool = False) -> None:
        self._taken: set[str] = set()
        self._form: Callable[[str], str] = str if is_exact else _folded

    def __contains__(self, name: str) -> bool:
        return self._form(name) in self._taken

    def take(self, name: str) -> str:
        """The name, or with a number behind it where it is taken."""
        found, number = name, 1
        while found in self:
            number += 1
            found = f"{name}{number}"
        self._taken.add(self._form(found))
        return found


def _folded(name: str) -> str:
    return name.replace("_", "").lower()
