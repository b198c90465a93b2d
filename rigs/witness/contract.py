"""What the witness promises: a note is kept, and told to whoever listens."""

from typing import Protocol

from borough import ANYONE, Event, Key, Struct, contract, post


class Note(Struct):
    """What was asked to be kept: the `number`-th note of a `writer`."""

    writer: str
    number: int


class Noted(Event):
    """A note is kept."""

    writer: Key[str]
    number: int


@contract("witness", version="1.0", publishes=[Noted])
class Witness(Protocol):
    """Keeps notes."""

    @post("/notes", allow=ANYONE, status=201)
    async def keep(self, note: Note) -> Note:
        """Keep a note; the same note again is the same."""
        ...
