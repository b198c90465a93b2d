"""How many calls a service takes at once. A fixed gate: cheap to refuse, nothing waits."""

from __future__ import annotations

__all__ = ["Gate"]


class Gate:
    """Counts what is in flight; `enter` says whether one more may start."""

    __slots__ = ("in_flight", "limit", "refused")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.refused = 0

    def enter(self) -> bool:
        """Take a place; False when all are taken."""
        if self.in_flight >= self.limit:
            self.refused += 1
            return False
        self.in_flight += 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
