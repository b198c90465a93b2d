"""Names of other people's documents as Python has them: `petId` as `pet_id`, `pet-list` as `PetList`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection

from borough.contracts.operation import OF_SERVICES

__all__ = [
    "class_name",
    "free_name",
    "is_parameter",
    "member_constant",
    "operation_name",
    "parameter_name",
    "python_name",
]

_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_STRANGE = re.compile(r"[^A-Za-z0-9]+")


def _words(name: str) -> list[str]:
    return [word for part in _STRANGE.split(name) for word in _NEW_WORD.split(part) if word]


def python_name(name: str) -> str:
    """The name of a field."""
    text = "_".join(_words(name)).lower() or "value"
    if text[0].isdigit():
        text = f"value_{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def is_parameter(name: str) -> bool:
    """Whether a method can have a parameter of that name, beside the object that it is of."""
    return not keyword.iskeyword(name) and name != "self"


def parameter_name(name: str) -> str:
    """The name of a parameter."""
    text = python_name(name)
    return text if is_parameter(text) else f"{text}_"


def operation_name(name: str) -> str:
    """The name of an operation."""
    text = python_name(name)
    return f"{text}_" if text in OF_SERVICES else text


def class_name(name: str) -> str:
    """The name of a type."""
    text = "".join(word[0].upper() + word[1:] for word in _words(name)) or "Value"
    if text[0].isdigit():
        text = f"Value{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def member_constant(value: str | int) -> str:
    """The name of an enum's member."""
    text = "_".join(_words(str(value))).upper() or "EMPTY"
    if isinstance(value, int) or text[0].isdigit():
        text = f"VALUE_{'MINUS_' if str(value).startswith('-') else ''}{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, or with a number behind it where it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
