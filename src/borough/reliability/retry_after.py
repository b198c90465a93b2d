"""`Retry-After` as others send it: seconds in ASCII digits.

A date does not count, and neither does what only looks like digits.
"""

from __future__ import annotations

__all__ = ["LONGEST_WAIT_S", "retry_after_s"]

LONGEST_WAIT_S = 300.0
"""Nobody may keep what is sent again and again waiting for longer."""
_DIGITS = 9


def retry_after_s(value: str | None) -> float | None:
    """The seconds that it asks for; None where it asks for none."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return float(value[:_DIGITS])
