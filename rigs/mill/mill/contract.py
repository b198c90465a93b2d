"""What the mill promises."""

from typing import Protocol

from borough import ANYONE, contract, get


@contract("mill", version="1.0")
class Mill(Protocol):
    """Works on numbers, in the two ways in which a service can be busy."""

    @get("/ground/{number}", allow=ANYONE)
    async def grind(self, number: int) -> int:
        """Computes for 5 ms and never awaits."""
        ...

    @get("/fetched/{number}", allow=ANYONE)
    async def fetch(self, number: int) -> int:
        """Waits 5 ms for one of two that answer."""
        ...
