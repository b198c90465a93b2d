"""Events on RabbitMQ: it remembers what each handler has done, and forgets what all have done.

It gives no order that survives a crash or a lost connection, and keeps no history: the numbers of
events restore the order, and their publisher's database serves what it retains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from aiormq.exceptions import ChannelAccessRefused

from borough.brokers.claims import Claims, of_another
from borough.brokers.rabbitmq.link import Link, ended
from borough.brokers.rabbitmq.publisher import Publisher
from borough.brokers.rabbitmq.subscription import QueueSubscription
from borough.brokers.rabbitmq.terms import RabbitmqTerms
from borough.brokers.rabbitmq.topology import Topology
from borough.contracts.retention import Retention
from borough.errors import BrokerError
from borough.ports import LONGEST_EVENT, Message, TopicFacts, Trimmed
from borough.services.settings import Secret

__all__ = ["RabbitmqBroker"]

_log = logging.getLogger("borough.events")
_NOTHING = TopicFacts(0, 0, 0, 0, 0, None)


class RabbitmqBroker:
    """RabbitMQ 3.10 or later at `url` (`amqp://`, or `amqps://` for TLS)."""

    keeps_positions = True
    keeps_order = False
    keeps_history = False
    tells_types_apart = True

    def __init__(self, url: Secret, terms: RabbitmqTerms | None = None) -> None:
        self._terms = terms or RabbitmqTerms()
        self._topology = Topology(self._terms)
        self._url = url  # kept: it is hidden from logs as long as it lives
        self._publishing = Link(url.reveal(), "borough publishes", self._terms)
        self._consuming = Link(url.reveal(), "borough consumes", self._terms)
        self._publisher = Publisher(self._publishing, self._topology, self._terms)
        self._subscriptions: set[QueueSubscription] = set()
        self._claims = Claims(self._claim)
        self._open = False

    async def open(self) -> None:
        """Try to connect. A broker that is away is told and found later: calls need none.

        Raises `ConfigurationError` where it refuses user or password.
        """
        self._open = True
        try:
            channel = await self._publishing.channel()
        except BrokerError as error:
            _log.warning("events wait until RabbitMQ can be had: %s", error)
        else:
            await ended(channel.close())

    async def claim(self, services: Iterable[str]) -> None:
        """Leave a mark at the broker that they are this system's, unless another has. Raises `ConfigurationError`."""
        await self._claims.begin(services)

    async def _claim(self, service: str) -> None:
        terms, place = self._terms, self._consuming.place
        try:
            async with self._consuming.spoken_on() as channel:
                owner = await self._topology.claim(channel, service)
        except BrokerError as error:
            if not isinstance(error.__cause__, ChannelAccessRefused):
                raise
            _log.warning(
                "nothing tells whether another system has a service %s here: %s", service, error
            )
            return
        if owner != terms.system:
            raise of_another(
                f"RabbitMQ at {place}",
                service,
                terms.system,
                owner,
                terms.prefix,
                "Set events.rabbitmq.prefix for this one, or give it a virtual host; where the system was renamed, "
                f"delete the exchange {self._topology.owner(service)}, which only keeps its name",
            )

    async def publish(self, messages: Sequence[Message]) -> None:
        """Have RabbitMQ keep them, confirmed by a majority of each queue's replicas. Raises `BrokerError`."""
        self._refuse_closed()
        for message in messages:
            if len(message.body) > LONGEST_EVENT:
                raise BrokerError(
                    f"event {message.id} of {message.topic} has {len(message.body)} bytes, "
                    f"an event at most {LONGEST_EVENT}"
                )
        await self._claims.settle()
        await self._publisher.publish(messages)

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """Have the queue of the handler, bound to the topic. Raises `BrokerError`."""
        self._refuse_closed()
        await self._claims.settle()
        async with self._consuming.spoken_on() as channel:
            await self._topology.declare_handler(channel, group, topic)

    async def waiting(self, group: str, topic: str) -> int:
        """How many events lie in the handler's queues, those aside that its reader holds."""
        self._refuse_closed()
        for subscription in self._subscriptions:
            if subscription.reads(group, topic):
                return await subscription.waiting()
        async with self._consuming.spoken_on() as channel:
            return await self._topology.count(channel, group, topic)

    async def end(self, topic: str) -> int:
        """0: positions are receipts."""
        return 0

    async def earliest(self, topic: str) -> int:
        """0: positions are receipts."""
        return 0

    async def origin(self, topic: str) -> str:
        """Nothing more: where a handler is, its queue and the numbers of the publisher say."""
        return "rabbitmq"

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """Nothing: the handler's database has it."""

    async def facts(self, topic: str) -> TopicFacts:
        """Nothing: a topic holds nothing here, its publisher's database does."""
        return _NOTHING

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        """Nothing: what every handler has done is gone already."""
        return Trimmed()

    async def subscribe(self, group: str, topic: str, position: int) -> QueueSubscription:
        """Read the queue of the handler; what it has not handed back comes first."""
        self._refuse_closed()
        await self._claims.settle()
        subscription = QueueSubscription(group, topic, self._consuming, self._topology, self._terms)
        self._subscriptions = {one for one in self._subscriptions if not one.is_closed}
        self._subscriptions.add(subscription)
        try:
            await subscription.open()
        except BaseException:  # it would go on by itself, and take events that nobody asks it for
            await subscription.close()
            raise
        return subscription

    async def close(self) -> None:
        """End what is being read, and the connections. Idempotent."""
        self._open = False
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions.clear()
        await self._publishing.close()
        await self._consuming.close()

    def _refuse_closed(self) -> None:
        if not self._open:
            raise BrokerError("the broker is not open")
