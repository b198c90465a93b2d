"""What the counter promises."""

from typing import Protocol

from borough import ANYONE, contract, get, post


@contract("counter", version="1.0")
class Counter(Protocol):
    """Counts how often it was asked for each number."""

    @post("/marks", allow=ANYONE)
    async def mark(self, number: int, text: str) -> str:
        """Make a mark. Twice is twice."""
        ...

    @get("/echoes/{number}", allow=ANYONE)
    async def echo(self, number: int, text: str) -> str:
        """What a mark would answer, without making one."""
        ...

    @get("/marks", allow=ANYONE)
    async def marks(self) -> tuple[tuple[int, int], ...]:
        """Each number and how often it was marked, since the last time this was asked."""
        ...
