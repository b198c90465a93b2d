"""What the service for entries promises."""

from typing import Protocol

from borough import ANYONE, Event, Key, Struct, contract, get, post


class Entry(Struct):
    """Something entered once, under a name that its author chose. `filling` only takes up space."""

    name: str
    author: str
    filling: str


class Entered(Event):
    """An entry was made."""

    name: str
    author: Key[str]


@contract("entries", version="1.0", publishes=[Entered])
class Entries(Protocol):
    """Takes entries."""

    @post("/entries", allow=ANYONE, status=201, idempotent_by="name")
    async def enter(self, name: str, author: str, filling: str) -> Entry:
        """Make an entry. A repeat gets the same answer."""
        ...

    @get("/count", allow=ANYONE)
    async def total(self) -> int:
        """How many entries there are."""
        ...
