"""What a statement raises that has not ended in time; the same on every store."""

from __future__ import annotations

from borough.errors import DeadlineExceeded, StoreUnavailable

__all__ = ["out_of_time"]


def out_of_time(sql: str, *, is_calls: bool) -> DeadlineExceeded | StoreUnavailable:
    """In the time of a call, or in the store's own."""
    if is_calls:
        error = DeadlineExceeded(f"the deadline passed during: {sql}")
        # Whoever called may be a stranger, and sees nothing of the SQL.
        error.detail = "The deadline passed during a statement"
        return error
    return StoreUnavailable(f"the database did not answer in time: {sql}")
