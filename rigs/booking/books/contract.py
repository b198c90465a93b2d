"""What the service that books promises."""

from typing import Protocol

from borough import ANYONE, contract, get


@contract("books", version="1.0")
class Books(Protocol):
    """Books what was entered."""

    @get("/count", allow=ANYONE)
    async def count(self) -> int:
        """How many bookings there are."""
        ...
