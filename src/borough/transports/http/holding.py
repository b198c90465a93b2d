"""What a server holds for slow clients: bodies on their way in, answers on their way out. Bounded.

Each connection is bounded by itself, but a thousand of them are not. Above the limit the one that has
been slow for longest is dropped: whoever sends and reads swiftly is never at the front for long.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Holding", "Slow"]


class Slow(Protocol):
    """A connection that something is held for."""

    def drop(self) -> None:
        """Let go of it at once."""
        ...


class Holding:
    """Bytes by connection, in the order in which they became slow."""

    __slots__ = ("_held", "_limit", "total")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[Slow, int] = {}
        self.total = 0

    def hold(self, slow: Slow, size: int) -> None:
        """So much is held for this connection now. Drops others, or this one, while that is too much."""
        held = self._held
        self.total += size - held.get(slow, 0)
        held[slow] = size
        while self.total > self._limit:
            first = next(iter(held))
            self.release(first)
            first.drop()

    def release(self, slow: Slow) -> None:
        """Nothing is held for it any more."""
        size = self._held.pop(slow, None)
        if size is not None:
            self.total -= size
