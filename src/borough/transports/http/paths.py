"""The normal form of a path, and what is refused instead of being repaired: nobody reads it twice.

Refused: `//`, `.` and `..` segments (`%2e` too), control bytes, a backslash, `%` without two digits and
what is not UTF-8; when strict, as at the edge, also an encoded slash or backslash, which a proxy in
front may read otherwise. Then a path is split once, and each segment decoded once.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from borough.errors import InvalidRequest

__all__ = ["decoded", "path_segments", "refuse_odd"]

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9_~!$&'()*+,;=:@.-]*)+/?")
_ODD = re.compile(
    r"%(?![0-9a-f]{2})|%(?:[01][0-9a-f]|7f)|[\\\x00-\x20\x7f-\xff]|//|/(?:\.|%2e){1,2}(?:/|\Z)",
    re.IGNORECASE,
)
_SLASH = re.compile(r"%(?:2f|5c)", re.IGNORECASE)


def refuse_odd(path: str, *, strict: bool) -> None:
    """Raise `InvalidRequest` for a path that is not in normal form."""
    if _PLAIN.fullmatch(path):
        return
    if not path.startswith("/") or _ODD.search(path) or (strict and _SLASH.search(path)):
        raise InvalidRequest(
            "The path is not in normal form", errors=[{"detail": "path not in normal form"}]
        )


def decoded(segment: str) -> str:
    """A segment as text. Raises `InvalidRequest` where it is not UTF-8."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8") from None


def path_segments(path: str) -> list[str]:
    """The decoded segments of a path at the edge. Raises `InvalidRequest` for one not in normal form."""
    refuse_odd(path, strict=True)
    return [decoded(segment) for segment in path[1:].split("/")]
