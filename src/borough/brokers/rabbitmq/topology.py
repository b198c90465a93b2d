"""Names and declarations. Declaring is repeated at will: what is there already stays as it is.

Topic: a durable exchange of type `topic`, routed by the event's type, so that others may listen to
single types. Handler: a quorum queue bound to all of it. What RabbitMQ gives up at the delivery limit
goes to a second queue, from which the same handler reads: it is our database that gives events up.
"""

from __future__ import annotations

import re
from typing import Any, Final

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelPreconditionFailed

from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.errors import ConfigurationError

__all__ = ["Topology"]

_LONGEST_NAME: Final = 255
_UNLIMITED: Final = 1_000_000_000  # 4.0 and later have a limit where none is given
_MS: Final = 1000


class Topology:
    """What the events of a system need at the broker."""

    def __init__(self, terms: RabbitmqTerms) -> None:
        self._terms = terms

    def exchange(self, topic: str) -> str:
        """Where a topic is published."""
        return _checked(f"{self._terms.prefix}.{topic}")

    def queue(self, group: str, topic: str) -> str:
        """What a handler reads of a topic."""
        version = self._terms.version
        ending = "" if version == 1 else f".v{version}"
        return _checked(f"{self._terms.prefix}.{group}.{topic}{ending}")

    def dead_queue(self, group: str, topic: str) -> str:
        """What RabbitMQ has given up on the way to a handler."""
        return _checked(f"{self.queue(group, topic)}.dead")

    def owner(self, service: str) -> str:
        """The exchange that tells which system the names of a service are of."""
        return _checked(f"{self._terms.prefix}.{service}@owner")

    async def claim(self, channel: AbstractChannel, service: str) -> str:
        """Have the names of a service for this system; returns the system that has them, then or before.

        RabbitMQ holds an exchange against its alternate one when it is declared again: who comes second is refused,
        and told what the first one said, wherever in a cluster both ask. Nothing is ever sent to either.
        """
        before = f"{self._terms.prefix}.system:"
        mine = _checked(f"{before}{self._terms.system}")
        try:
            await channel.exchange_declare(
                self.owner(service),
                exchange_type="fanout",
                durable=True,
                arguments={"alternate-exchange": mine},
            )
        except ChannelPreconditionFailed as error:
            told = re.search(f"but current is '{re.escape(before)}(.*)'", str(error))
            return told[1] if told else ""
        return self._terms.system

    async def declare_topic(self, channel: AbstractChannel, topic: str) -> None:
        """Have the exchange of a topic."""
        await channel.exchange_declare(self.exchange(topic), exchange_type="topic", durable=True)

    async def declare_handler(self, channel: AbstractChannel, group: str, topic: str) -> None:
        """Have the queues of a handler, bound: from now on it is owed what is published."""
        terms = self._terms
        queue, dead = self.queue(group, topic), self.dead_queue(group, topic)
        dead_exchange = f"{terms.prefix}.dead"
        expires: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-expires": int(terms.unused_for_s * _MS),
        }
        await self.declare_topic(channel, topic)
        await channel.exchange_declare(dead_exchange, exchange_type="direct", durable=True)
        await channel.queue_declare(
            dead, durable=True, arguments={**expires, "x-delivery-limit": _UNLIMITED}
        )
        await channel.queue_bind(dead, dead_exchange, queue)
        await channel.queue_declare(
            queue,
            durable=True,
            arguments={
                **expires,
                "x-delivery-limit": terms.delivery_limit,
                "x-dead-letter-exchange": dead_exchange,
                "x-dead-letter-routing-key": queue,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
                "x-max-length": terms.queue_events,
                "x-max-length-bytes": terms.queue_bytes,
            },
        )
        await channel.queue_bind(queue, self.exchange(topic), "#")

    async def count(self, channel: AbstractChannel, group: str, topic: str) -> int:
        """How many messages lie ready for a handler."""
        found = 0
        for queue in (self.queue(group, topic), self.dead_queue(group, topic)):
            declared = await channel.queue_declare(queue, passive=True)
            found += declared.message_count or 0
        return found


def _checked(name: str) -> str:
    if len(name.encode()) > _LONGEST_NAME:
        raise ConfigurationError(
            f"{name} is too long for RabbitMQ ({_LONGEST_NAME} bytes); give the handler a shorter "
            "name, or set a shorter events.rabbitmq.prefix"
        )
    return name
