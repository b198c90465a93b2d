"""How many calls a service takes at once. A fixed gate: cheap to refuse, nothing waits."""

from __future__ import annotations

__all__ = ["Gate"]


class Gate:
    """Counts what is in flight. The call path reads and counts it directly: it is passed for every call."""

    __slots__ = ("in_flight", "limit", "refused")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.refused = 0

    @property
    def free(self) -> bool:
        """Whether one more call may start."""
        return self.in_flight < self.limit
