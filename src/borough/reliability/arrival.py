"""A call from outside of the process, from the moment it is here until it is answered."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Arrival", "Usual"]

_WEIGHT = 1 / 16


class Usual:
    """How long one operation takes where hardly anything else is at work, in seconds."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def learn(self, took_s: float) -> None:
        """Count one more call that had the service nearly to itself."""
        self.seconds += (took_s - self.seconds) * (_WEIGHT if self.seconds else 1.0)


class Arrival(msgspec.Struct, gc=False, eq=False):
    """When it came, how long it may take, and how many were at work when it began.

    `usual` is set once it is known which operation is asked for: what never gets there tells nothing
    about how long calls take. `is_inside`: a service of this system asks, on behalf of admitted work.
    A struct, since one is made for every call; who lets it wait takes `waiter` out again.
    """

    came_at: float
    timeout_s: float
    entrance: Any = None
    began_at: float = 0.0
    start_by: float = 0.0
    waits_since: float = 0.0
    at_work: int = 0
    is_inside: bool = False
    usual: Usual | None = None
    waiter: Any = None
