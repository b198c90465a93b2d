"""Whole numbers that were written with a point: to JSON Schema 43.0 is an integer, to msgspec a float.

Some languages write every number that way. The decoder refuses such a body first, so that all others
cost nothing; then its numbers are written anew, and it is read again. That costs half a microsecond a
number, which a large body would hold the event loop up with: it stays refused.
"""

from __future__ import annotations

from decimal import Decimal
from math import isinf

import msgspec

__all__ = ["LARGEST", "written_whole"]

LARGEST = 16 * 1024
_HIGH = 2.0**63
_PLAIN = 17  # so many characters with `.0` are surely less than 64 bits


def _number(text: str) -> int | float:
    if text.endswith(".0") and len(text) <= _PLAIN:
        return int(text[:-2])
    value = float(text)
    if isinf(value):
        raise ValueError("Number out of range")
    if -_HIGH <= value < _HIGH and value.is_integer():
        exact = Decimal(text)  # beyond 2**53 a float is no longer the number that was written
        whole = int(exact)
        return whole if whole == exact else value
    return value


_decode = msgspec.json.Decoder(float_hook=_number).decode


def written_whole(body: bytes) -> bytes:
    """The same JSON with its whole numbers written as such. Raises what decoding and encoding raise."""
    return msgspec.json.encode(_decode(body))
