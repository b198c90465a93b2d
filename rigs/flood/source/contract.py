"""What the source promises."""

from typing import Protocol

from borough import ANYONE, Event, Key, contract, post


class Dropped(Event):
    """A drop of the flood."""

    place: Key[str]
    number: int
    note: str


@contract("source", version="1.0", publishes=[Dropped], retains="latest per key")
class Source(Protocol):
    """Publishes many events."""

    @post("/floods", allow=ANYONE, timeout_s=60)
    async def flood(self, first: int, count: int) -> None:
        """Publish the events of these numbers, each in a transaction of its own."""
        ...
