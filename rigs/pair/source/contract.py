"""What the source promises."""

from typing import Protocol

from borough import ANYONE, Event, Key, Struct, contract, post


class Note(Struct):
    """The `number`-th note of a `writer`."""

    writer: str
    number: int


class Noted(Event):
    """A note is kept."""

    writer: Key[str]
    number: int
    at: float = 0.0
    """When, in seconds since 1970."""


@contract("source", version="1.0", publishes=[Noted])
class Source(Protocol):
    """Keeps notes and tells of them."""

    @post("/notes", allow=ANYONE, status=201)
    async def keep(self, note: Note) -> Note:
        """Keep a note; the same note again is the same."""
        ...
