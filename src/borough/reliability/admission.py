"""How many calls a service takes at once. A fixed gate: cheap to refuse, nothing waits."""

from __future__ import annotations

__all__ = ["Gate"]


class Gate:
    """Counts what is in flight. The call path reads and counts it directly: it is passed for every call.

    A stream is a call until its first item. It then goes on for as long as somebody reads, and is counted among
    `streams`: it must not take a call's place for hours.
    """

    __slots__ = ("in_flight", "limit", "most_streams", "refused", "streams")

    def __init__(self, limit: int, most_streams: int = 1024) -> None:
        self.limit = limit
        self.most_streams = most_streams
        self.in_flight = 0
        self.streams = 0
        self.refused = 0

    @property
    def free(self) -> bool:
        """Whether one more call may start."""
        return self.in_flight < self.limit
