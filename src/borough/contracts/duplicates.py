"""What JSON says twice or nests too deeply. Readers differ in which of two equal keys they take.

A decoder takes the last one and says nothing. But what it has read, written again, has a colon less
for every key that was lost, and nothing else adds or removes one: so a glance costs an encoding.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import msgspec

__all__ = ["MOST_LEVELS", "find_twice", "is_too_deep", "said_twice"]

MOST_LEVELS = 64
"""How many arrays and objects may stand within one another."""

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level in, one level out."""
_NEITHER = bytes(set(range(256)) - set(b'[]{}"'))
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
    # A few passes in C, whatever it is: a search for texts would begin anew at each quote of one that has no end.
    marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_STEPS, _NEITHER)
    outside_texts = b"".join(marks.split(b'"')[::2])
    return max(accumulate(array("b", outside_texts)), default=0) > MOST_LEVELS


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
