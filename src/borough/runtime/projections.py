"""How far a service's projections are, for reads that must see a write.

Which process consumes does not matter: what it has noted in the service's database is the truth. Where it is
this one it notes at once while somebody waits, and wakes him; else the database is asked again and
again.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from borough.clock import Clock
from borough.errors import (
    BrokerError,
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    TransactionMisuse,
)
from borough.reliability.position import read_position
from borough.runtime.envelope import CloudEvent
from borough.services.context import CURRENT, inside_transaction
from borough.services.projections import Lag

if TYPE_CHECKING:
    from collections.abc import Generator

    from borough.runtime.consumer import Consumer

__all__ = ["ServiceProjections"]

_POLL_S = 0.05
_PATIENCE_S = 1.0
_decode = msgspec.json.Decoder(CloudEvent).decode


class ServiceProjections:
    """`borough.services.projections.Projections` of one service in one process."""

    def __init__(self, service: str, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._consumers: dict[str, Consumer] = {}

    def add(self, consumer: Consumer) -> None:
        """Answer for this one, too; a projection has one topic."""
        self._consumers[consumer.handler.name.partition(".")[2]] = consumer

    def _of(self, name: str) -> Consumer:
        found = self._consumers.get(name)
        if found is None:
            known = ", ".join(sorted(self._consumers)) or "none"
            raise ConfigurationError(f"{self._service} has no projection {name!r}; it has {known}")
        return found

    async def reached(self, name: str, position: str, /, *, within_s: float = 5.0) -> None:
        """Wait until the projection shows what was written at `position`."""
        consumer = self._of(name)
        try:
            wanted = read_position(position).get(consumer.topic, 0)
        except ValueError as error:
            raise InvalidRequest(str(error)) from None
        if inside_transaction():
            raise TransactionMisuse("reached() waits, and a transaction is open; wait before it")
        clock, call = self._clock, CURRENT.get()
        until = clock.monotonic() + within_s
        if call is not None:
            until = min(until, call.deadline)
        with _hurried(consumer):
            while True:
                seen = consumer.noted.count
                is_at = await self._shown(consumer, wanted)
                if is_at >= wanted:
                    return
                left_s = until - clock.monotonic()
                if left_s <= 0:
                    raise DeadlineExceeded(
                        f"{consumer.handler.name} does not show {consumer.topic}:{wanted} yet; "
                        f"it has come to {is_at}"
                    )
                await consumer.noted.wait(seen, min(left_s, _POLL_S))

    async def _shown(self, consumer: Consumer, wanted: int) -> int:
        """The number up to which everything is done, below `wanted` while that one is put aside."""
        noted = await consumer.positions.look()
        is_at = 0 if noted is None else noted.sequence
        if is_at >= wanted > 0 and await consumer.parking.holds(wanted):
            return wanted - 1
        return is_at

    async def lag(self, name: str, /) -> Lag:
        """How far the projection is behind."""
        consumer = self._of(name)
        noted = await consumer.positions.read()
        place = await consumer.place(noted)
        now = self._clock.epoch_s()
        oldest = await consumer.parking.oldest()
        if not await self._caught_up(consumer, place):
            published = await self._next_published(consumer, place)
            waiting_since = noted.noted_at if published is None else published
            oldest = waiting_since if oldest is None else min(oldest, waiting_since)
        seconds = 0.0 if oldest is None else max(0.0, now - oldest)
        shown = place if consumer.broker.keeps_history else noted.sequence
        return Lag(seconds=seconds, rebuilding=shown < noted.target)

    async def _caught_up(self, consumer: Consumer, position: int) -> bool:
        if consumer.broker.keeps_positions:
            return await consumer.quiet()
        return position >= await consumer.broker.end(consumer.topic)

    async def _next_published(self, consumer: Consumer, position: int) -> float | None:
        """When the first event after a position was published; None where that cannot be known."""
        if consumer.broker.keeps_positions:  # reading would take the event away
            return None
        subscription = await consumer.broker.subscribe(
            consumer.handler.name, consumer.topic, position
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                taken = await subscription.take(1)
            time: Any = _decode(taken[0].message.body).time
        except (TimeoutError, BrokerError, msgspec.DecodeError):
            return None
        finally:
            await subscription.close()
        return None if time is msgspec.UNSET else float(time.timestamp())


@contextmanager
def _hurried(consumer: Consumer) -> Generator[None]:
    consumer.hurry()
    try:
        yield
    finally:
        consumer.hurried -= 1
