"""A handler's reading of one topic: two queues, one channel, receipts handed back in bunches.

A receipt names the channel that gave it and the delivery on it: when a channel is lost its receipts
mean nothing any more, and what they stood for is delivered again. A message is acknowledged only when
`done` has told that its effects are committed; nothing is ever refused or put back by us, for what
fails is put aside in the handler's own database.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from aiormq.abc import AbstractChannel, DeliveredMessage

from borough.brokers.rabbitmq.link import Link, ended, spoken
from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.brokers.rabbitmq.topology import Topology
from borough.brokers.rabbitmq.wire import read_message
from borough.ending import until_done
from borough.errors import BrokerError
from borough.ports import Delivery

__all__ = ["QueueSubscription"]

_CHANNEL_BITS: Final = 40  # of a receipt are the delivery's number
_CLOSING_S: Final = 2.0


class QueueSubscription:
    """See `borough.ports.Subscription`; positions are receipts."""

    position = 0
    missed = 0

    def __init__(
        self, group: str, topic: str, link: Link, topology: Topology, terms: RabbitmqTerms
    ) -> None:
        self._group = group
        self._topic = topic
        self._link = link
        self._topology = topology
        self._terms = terms
        self._channel: Any = None
        self._number = 0
        """Of the channel, as receipts name it."""
        self._ready: deque[tuple[int, DeliveredMessage]] = deque()
        self._come = asyncio.Event()
        self._opening: asyncio.Task[None] | None = None
        self._receipts = _Receipts()
        self._handed_back = asyncio.Event()
        self._handing: asyncio.Task[None] | None = None
        self._closed = False
        self._ending: asyncio.Task[None] | None = None
        self._is_lost = False

    async def open(self) -> None:
        """Begin to read. Raises `BrokerError`."""
        await self._opened()

    async def take(self, limit: int) -> Sequence[Delivery]:
        """What has come, at least one. After a lost connection it goes on by itself, or raises."""
        while True:
            if self._closed:
                raise BrokerError(f"the subscription of {self._group} to {self._topic} is closed")
            if self._channel is None or self._channel.is_closed or self._is_lost:
                await self._opened()
            if self._ready:
                return [self._delivery() for _ in range(min(limit, len(self._ready)))]
            self._come.clear()
            await self._come.wait()

    async def done(self, position: int) -> None:
        """The effects of this one delivery are committed."""
        number, tag = position >> _CHANNEL_BITS, position & ((1 << _CHANNEL_BITS) - 1)
        if number == self._number:
            self._receipts.add(tag)
            self._handed_back.set()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def reads(self, group: str, topic: str) -> bool:
        """Whether it is the reading of this handler, and works."""
        here = (self._group, self._topic) == (group, topic)
        return here and not self._closed and self._channel is not None

    async def waiting(self) -> int:
        """How many events wait for this handler, at the broker or here."""
        asking = asyncio.ensure_future(self._count())
        asking.add_done_callback(_ask_no_more)
        # Who gives up waiting does not end the question: the library would close the channel, and all come again.
        return await asyncio.shield(asking) + len(self._ready)

    async def _count(self) -> int:
        channel = self._channel
        if channel is None or channel.is_closed:
            await self._opened()
            channel = self._channel
        async with spoken(self._link.place, self._terms.patience_s):
            count = await self._topology.count(channel, self._group, self._topic)
            # What was counted as given is on its way here; what is asked next comes behind it.
            await self._topology.count(channel, self._group, self._topic)
        return count

    async def close(self) -> None:
        """Hand back what is done and end. Idempotent. Whoever is cancelled waits for that, too."""
        self._closed = True
        self._come.set()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await until_done(self._ending)

    async def _end(self) -> None:
        for task in (self._opening, self._handing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._leave()

    def _queues(self) -> tuple[str, str]:
        names = self._topology
        return names.queue(self._group, self._topic), names.dead_queue(self._group, self._topic)

    def _delivery(self) -> Delivery:
        tag, delivered = self._ready.popleft()
        return Delivery(read_message(delivered, self._topic), self._number << _CHANNEL_BITS | tag)

    async def _opened(self) -> None:
        """Read on a channel that works; who gives up waiting does not end the attempt."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_channel())
        opening = self._opening
        await asyncio.wait([opening])
        if opening.cancelled():
            raise BrokerError(f"the subscription of {self._group} to {self._topic} is closed")
        opening.result()

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            with suppress(BrokerError):
                async with spoken(self._link.place, _CLOSING_S):
                    await self._hand_back(channel)
            await ended(channel.close())

    async def _open_channel(self) -> None:
        await self._leave()
        channel = await self._link.channel()
        try:
            async with spoken(self._link.place, self._terms.patience_s):
                await self._topology.declare_handler(channel, self._group, self._topic)
                await self._read(channel)
        except BaseException:
            await ended(channel.close())
            raise

    async def _read(self, channel: AbstractChannel) -> None:
        self._is_lost = False
        self._number += 1
        number = self._number
        self._ready.clear()  # what a lost channel gave comes again
        self._receipts = _Receipts()

        async def receive(delivered: DeliveredMessage) -> None:
            if number == self._number and delivered.delivery_tag is not None:
                self._ready.append((delivered.delivery_tag, delivered))
                self._come.set()

        async def lose(*_: object) -> None:
            """The queue was deleted: it is made again, on another channel."""
            self._is_lost = True
            self._come.set()

        given: Any = channel
        given.closing.add_done_callback(lambda _: self._come.set())  # pyright: ignore[reportUnknownLambdaType]
        given.on_consumer_cancel_callbacks.add(lose)
        await channel.basic_qos(prefetch_count=self._terms.prefetch)
        self._channel = channel
        for queue in self._queues():
            await channel.basic_consume(queue, receive)
        if self._handing is None or self._handing.done():
            self._handing = asyncio.create_task(self._keep_handing_back())

    async def _keep_handing_back(self) -> None:
        while True:
            await self._handed_back.wait()
            self._handed_back.clear()
            channel = self._channel
            if channel is None or channel.is_closed:
                continue
            with suppress(BrokerError):  # then its deliveries come again, and the inbox knows them
                async with spoken(self._link.place, self._terms.patience_s):
                    await self._hand_back(channel)

    async def _hand_back(self, channel: AbstractChannel) -> None:
        for tag, multiple in self._receipts.settle():
            await channel.basic_ack(tag, multiple=multiple, wait=False)


def _ask_no_more(asking: asyncio.Future[int]) -> None:
    if not asking.cancelled():
        asking.exception()  # nobody else may ask for it


class _Receipts:
    """Which deliveries of a channel are done: those without a gap go back as one."""

    def __init__(self) -> None:
        self._done: set[int] = set()
        self._sent: set[int] = set()
        self._low = 0

    def add(self, tag: int) -> None:
        """This one is done."""
        if tag > self._low and tag not in self._sent:
            self._done.add(tag)

    def settle(self) -> list[tuple[int, bool]]:
        """What to tell the broker now: deliveries, and whether all before them are meant, too."""
        last = 0
        while (tag := self._low + 1) in self._done or tag in self._sent:
            if tag in self._done:
                self._done.remove(tag)
                last = tag
            else:
                self._sent.remove(tag)
            self._low = tag
        told = [(last, True)] if last else []
        told += [(tag, False) for tag in sorted(self._done)]
        self._sent |= self._done
        self._done.clear()
        return told
