"""What JSON says twice or nests too deeply. Readers differ in which of two equal keys they take.

A decoder takes the last one and says nothing. But what it has read, written again, has a colon less
for every key that was lost, and nothing else adds or removes one: so a glance costs an encoding.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

__all__ = ["MOST_LEVELS", "find_twice", "is_too_deep", "said_twice"]

MOST_LEVELS = 64
"""How many arrays and objects may stand within one another."""

_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ALL_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_COLON_ESCAPED = b"\\u003"
_encode = msgspec.json.Encoder().encode


def said_twice(body: bytes, value: Any) -> bool:
    """Whether `value`, in which no object was skipped, may have lost a key of `body`. True may be wrong."""
    try:
        return body.count(b":") != _encode(value).count(b":") or _COLON_ESCAPED in body
    except OverflowError:  # an integer beyond 64 bits cannot be written
        return True


def is_too_deep(body: bytes) -> bool:
    """Whether JSON, well-formed or not, is nested too deeply."""
    if body.count(b"[") + body.count(b"{") <= MOST_LEVELS:
        return False
    brackets = _TEXT.sub(b"", body).translate(_ALL_SQUARE, _NO_BRACKETS)
    for _ in range(MOST_LEVELS):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")  # the innermost level of all
    return bool(brackets)


class _Twice:
    """Stands for an object that names a key twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def find_twice(body: bytes) -> tuple[str, Sequence[str | int]] | None:
    """The first key that well-formed JSON names twice in one object, and the way to that object."""
    # Numbers stay text: nothing is asked of them, and Python refuses whole ones of many digits.
    return _place(json.loads(body, object_pairs_hook=_object, parse_int=str, parse_float=str))


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    for key, _ in reversed(pairs):
        if found.pop(key, pairs) is pairs:  # it was met before
            return _Twice(key)
    raise AssertionError("fewer keys than pairs, and none is there twice")


def _place(value: Any) -> tuple[str, Sequence[str | int]] | None:
    if isinstance(value, _Twice):
        return value.key, ()
    inner: Any = ()
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        inner = enumerate(cast("Sequence[Any]", value))
    for step, member in inner:
        found = _place(member)
        if found is not None:
            return found[0], (step, *found[1])
    return None
