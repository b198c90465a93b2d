"""What a statement raises that has not ended in time; the same on every store."""

from __future__ import annotations

from borough.errors import DeadlineExceeded, StoreUnavailable

__all__ = ["out_of_time"]


def out_of_time(sql: str, *, is_calls: bool) -> DeadlineExceeded | StoreUnavailable:
    """In the time of a call, or in the store's own."""
    if is_calls:
        return DeadlineExceeded(f"the deadline passed during: {sql}")
    return StoreUnavailable(f"the database did not answer in time: {sql}")
