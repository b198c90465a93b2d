"""Brokers that behave as brokers may on a bad day: they are away, deliver again, or are counted.

Each wraps another broker, and is a real one in all else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from borough.errors import BrokerError
from borough.ports import Broker, Delivery, Message

__all__ = ["Counting", "Interrupted", "forgetful", "rewound"]


class _Wrapped:
    """Like the one inside, in all that is not written here."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Interrupted(_Wrapped):
    """A broker that takes nothing while it is `away`."""

    def __init__(self) -> None:
        super().__init__(None)
        self.away = False

    def __call__(self, inner: Broker) -> Broker:
        self.inner = inner
        return cast(Broker, self)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Fail, or publish."""
        if self.away:
            raise BrokerError("the broker is away")
        await self.inner.publish(messages)


class Counting(_Wrapped):
    """A broker of which each reading is counted: `taken` by group; `most_at_once` were published together."""

    def __init__(self) -> None:
        super().__init__(None)
        self.taken: Counter[str] = Counter()
        self.most_at_once = 0

    def __call__(self, inner: Broker) -> Broker:
        self.inner = inner
        return cast(Broker, self)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish, and note how many."""
        self.most_at_once = max(self.most_at_once, len(messages))
        await self.inner.publish(messages)

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        """A reading that is counted."""
        return _Counted(await self.inner.subscribe(group, topic, position), group, self.taken)

    async def subscribe_at(self, group: str, topic: str, position: int, places: str) -> Any:
        """The same where positions have places."""
        placed: Any = self.inner
        reading = await placed.subscribe_at(group, topic, position, places)
        return _Counted(reading, group, self.taken)


class _Counted(_Wrapped):
    def __init__(self, inner: Any, group: str, taken: Counter[str]) -> None:
        super().__init__(inner)
        self._group = group
        self._taken = taken

    async def take(self, limit: int) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self.inner.take(limit)
        self._taken[self._group] += len(found)
        return found


def forgetful(inner: Broker) -> Broker:
    """A broker that never learns what has been done, as if every process died before it could say so."""
    return cast(Broker, _Forgetful(inner))


class _Forgetful(_Wrapped):
    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return _Unheard(await self.inner.subscribe(group, topic, position))

    async def subscribe_at(self, group: str, topic: str, position: int, _places: str) -> Any:
        return await self.subscribe(group, topic, position)


class _Unheard(_Wrapped):
    async def done(self, _position: int) -> None:
        """Nobody learns of it."""


def rewound(inner: Broker) -> Broker:
    """A broker that delivers from the beginning on, whatever position is asked for."""
    return cast(Broker, _Rewound(inner))


class _Rewound(_Wrapped):
    async def subscribe(self, group: str, topic: str, _position: int) -> Any:
        return await self.inner.subscribe(group, topic, 0)

    async def subscribe_at(self, group: str, topic: str, position: int, _places: str) -> Any:
        return await self.subscribe(group, topic, position)
