"""Why a body cannot be read: the decoder's words, taken apart or made clear."""

from __future__ import annotations

import re

__all__ = ["UNREADABLE", "pointer_of", "reason_of"]

UNREADABLE = (ValueError, RecursionError)
"""What a decoder raises for JSON that others have written: it is none, has another form, or too many levels."""

_PLACE = re.compile(r"(.*) - at (`key` in )?`\$(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_SURROGATE = re.compile(  # a whole pair first, then half of one
    rb"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(\\u[dD][89a-fA-F]\w\w)"
)


def pointer_of(message: str) -> tuple[str, str]:
    """Split msgspec's message into the sentence and a JSON pointer (RFC 6901) as URI fragment."""
    found = _PLACE.match(message)
    if found is None:
        return message, "#"
    steps = ["/" + (a or b) for a, b in _STEP.findall(found[3])]
    return f"{found[1]}{', as a key' if found[2] else ''}", "#" + "".join(steps)


def reason_of(body: bytes, error: Exception) -> str:
    """Why a body is no JSON; of half a surrogate pair the decoder says that the input was truncated."""
    if not body:
        return "the body is empty"
    unescaped = body.replace(rb"\\", b"  ")  # a backslash begins no escape then
    for escape in _SURROGATE.finditer(unescaped):
        if escape[1]:
            return f"{escape[1].decode()} is half a surrogate pair (byte {escape.start()})"
    return str(error)
