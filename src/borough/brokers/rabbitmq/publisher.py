"""Publishing with confirms: events are sent in windows, each waited for as a whole.

One future stands for a window instead of one for each event: that is most of what publishing costs
here. An event that comes back because no queue is bound is done: nobody is owed it, and its
publisher's database keeps it for who comes later. Everything else that is not confirmed is unknown,
and its channel is given up: the same ids are sent again, which is harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.exceptions import PublishError
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from borough.brokers.rabbitmq.link import Link, ended, spoken
from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.brokers.rabbitmq.topology import Topology
from borough.brokers.rabbitmq.wire import properties_of
from borough.errors import BrokerError
from borough.ports import Message

__all__ = ["Publisher"]

_log = logging.getLogger("borough.events")

_FRAME_ENDS: Final = 8  # of a frame are no content


class _Window:
    """What is out: every event's place in the channel's confirmations holds this same object."""

    __slots__ = ("_future", "_left", "refusal", "returned")

    def __init__(self, count: int, future: asyncio.Future[None]) -> None:
        self._left = count
        self._future = future
        self.refusal: BaseException | None = None
        self.returned: list[PublishError] = []

    def done(self) -> bool:
        """Asked for each event before it is settled."""
        return False

    def set_result(self, _frame: object) -> None:
        """The broker has one of them on disk."""
        self._settle()

    def set_exception(self, error: BaseException) -> None:
        """One was returned, or refused by a full queue."""
        if isinstance(error, PublishError):
            self.returned.append(error)
        else:
            self.refusal = error
        self._settle()

    def _settle(self) -> None:
        self._left -= 1
        if not self._left and not self._future.done():
            self._future.set_result(None)


class Publisher:
    """The publishing side of one process; one window at a time, so that order holds."""

    def __init__(self, link: Link, topology: Topology, terms: RabbitmqTerms) -> None:
        self._link = link
        self._topology = topology
        self._terms = terms
        self._turn = asyncio.Lock()
        self._channel: AbstractChannel | None = None
        self._declared: set[str] = set()
        self._unheard: set[str] = set()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Have the broker keep them. Raises `BrokerError`; then any part of them may be kept."""
        async with self._turn:
            for first in range(0, len(messages), self._terms.window):
                part = messages[first : first + self._terms.window]
                await self._link.unblocked()
                try:
                    await self._publish(part)
                except BaseException:
                    await self._give_up()
                    raise

    async def _publish(self, messages: Sequence[Message]) -> None:
        channel = self._channel
        if channel is None or channel.is_closed:
            channel = self._channel = await self._link.channel(confirms=True)
            self._declared.clear()
        async with spoken(self._link.place, self._terms.patience_s):
            for topic in dict.fromkeys(message.topic for message in messages):
                if topic not in self._declared:
                    await self._topology.declare_topic(channel, topic)
                    self._declared.add(topic)
            window = await self._send(channel, messages)
        if window.refusal is not None:
            raise BrokerError(
                "RabbitMQ refuses events: a queue is full, or has no leader; a handler is behind, or "
                f"a queue has no reader any more ({window.refusal})"
            )
        for returned in window.returned:
            self._tell_unheard(str(returned.message and returned.message.exchange))

    async def _send(self, channel: Any, messages: Sequence[Message]) -> _Window:
        future: asyncio.Future[None] = channel.create_future()  # rejected when the channel ends
        window = _Window(len(messages), future)
        number, largest = channel.number, channel.max_content_size
        tag = channel.delivery_tag
        tags, ids = channel.confirmations, channel.message_id_delivery_tag
        parts: list[bytes] = []
        for message in messages:
            tag += 1
            tags[tag] = window
            ids[message.id] = tag
            parts += _frames(message, self._topology.exchange(message.topic), number, largest)
        channel.delivery_tag = tag
        try:
            await channel.write_queue.put(ChannelFrame(b"".join(parts), should_close=False))
            await future
        finally:
            for message in messages:
                ids.pop(message.id, None)
        return window

    def _tell_unheard(self, exchange: str) -> None:
        if exchange not in self._unheard:
            self._unheard.add(exchange)
            _log.info("nobody hears %s yet", exchange)

    async def _give_up(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and not channel.is_closed:
            await ended(channel.close())


def _frames(message: Message, exchange: str, number: int, largest: int) -> list[bytes]:
    """Raises `BrokerError` where its names do not fit into what the server takes."""
    body = message.body
    sent = Basic.Publish(exchange=exchange, routing_key=message.type, mandatory=True)
    header = ContentHeader(properties=properties_of(message), body_size=len(body))
    try:
        parts = [frame.marshal(sent, number), frame.marshal(header, number)]
    except (TypeError, ValueError) as error:
        raise BrokerError(
            f"event {message.id} of {message.topic} cannot be sent: {error}"
        ) from error
    if len(parts[1]) > largest + _FRAME_ENDS:
        raise BrokerError(
            f"event {message.id} of {message.topic} cannot be sent: its key and names take {len(parts[1])} bytes, "
            f"and RabbitMQ is set to frames of {largest + _FRAME_ENDS}; raise frame_max there"
        )
    pieces = (body[first : first + largest] for first in range(0, len(body), largest))
    parts += (frame.marshal(ContentBody(piece), number) for piece in pieces)
    return parts
