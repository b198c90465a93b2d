"""Which system has a service's topics and groups in the cluster: the first that has said so in a topic for that.

One key is one partition, so all processes see its records in the same order: who was first is first for everybody.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from borough.brokers.claims import of_another
from borough.brokers.kafka.group import made_consumer
from borough.brokers.kafka.places import Offsets
from borough.brokers.kafka.publishing import Publishing
from borough.brokers.kafka.terms import KafkaTerms
from borough.brokers.kafka.topics import Topics
from borough.clock import Clock
from borough.ending import ended
from borough.errors import BrokerError
from borough.ports import Message

__all__ = ["Owners"]

_log = logging.getLogger("borough.events")

_TOPIC: Final = "borough.owners"
_TYPE: Final = "borough.owner"
_READ_WITHIN_S: Final = 10.0
_LOOK_S: Final = 0.5
_FETCH_WAIT_MS: Final = 10  # at its end the broker is not to wait for more
_REFUSED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)


class Owners:
    """Reads and writes that topic."""

    def __init__(
        self,
        terms: KafkaTerms,
        topics: Topics,
        publishing: Publishing,
        threads: ThreadPoolExecutor,
        clock: Clock,
    ) -> None:
        self._terms = terms
        self._topics = topics
        self._publishing = publishing
        self._threads = threads
        self._clock = clock
        self._known: dict[str, str] = {}

    async def claim(self, service: str) -> None:
        """Have the names of a service for this system. Raises `BrokerError`, `ConfigurationError`."""
        terms = self._terms
        try:
            owner = await self._owner(service)
        except BrokerError as error:
            if not _is_refused(error):
                raise
            _log.warning(
                "nothing tells whether another system has a service %s in this cluster: "
                "this one may not use the topic %s (%s)",
                service,
                terms.topic(_TOPIC),
                error,
            )
            return
        if owner != terms.system:
            raise of_another(
                f"Kafka at {', '.join(terms.servers)}",
                service,
                terms.system,
                owner,
                terms.prefix,
                "Set events.kafka.prefix for this one; where the system was renamed, delete the topic "
                f"{terms.topic(_TOPIC)}, which only keeps such names",
            )

    async def _owner(self, service: str) -> str:
        system = self._terms.system
        if service not in self._known and not await self._read():
            return system  # topics are made by somebody else, and this one was not
        if service not in self._known:
            await self._publishing.send(
                [Message(service, _TOPIC, _TYPE, service, 0, system.encode())]
            )
            await self._read()
        if service not in self._known:
            raise BrokerError(f"Kafka: what was written to {_TOPIC} is not to be seen")
        return self._known[service]

    async def _read(self) -> bool:
        """False where there is no such topic."""
        partitions = await self._topics.ensure(_TOPIC)
        if not partitions:
            return False
        low, high = await self._topics.bounds(_TOPIC, partitions)
        written = {each: at for each, at in low.items() if high[each] > at}
        if written:
            loop = asyncio.get_running_loop()
            self._known = await ended(loop.run_in_executor(self._threads, self._all, written))
        return True

    def _all(self, first: Offsets) -> dict[str, str]:
        """What stands in the topic now, of each key what came first; in a worker thread."""
        found: dict[str, str] = {}
        name, left = self._terms.topic(_TOPIC), set(first)
        consumer = made_consumer(self._terms, _TYPE, {"fetch.wait.max.ms": _FETCH_WAIT_MS})
        ends = self._clock.monotonic() + _READ_WITHIN_S
        try:
            consumer.assign([TopicPartition(name, each, at) for each, at in first.items()])
            while left:
                if self._clock.monotonic() > ends:
                    raise BrokerError(f"Kafka: {name} cannot be read to its end")
                if (record := consumer.poll(_LOOK_S)) is not None:
                    _sort(record, found, left)
        finally:
            consumer.close()
        return found


def _sort(record: Any, found: dict[str, str], left: set[int]) -> None:
    error = record.error()
    if error is None:
        key, value = record.key() or b"", record.value() or b""
        found.setdefault(key.decode(errors="replace"), value.decode(errors="replace"))
    elif error.code() == KafkaError._PARTITION_EOF:
        left.discard(record.partition())
    elif error.code() in _REFUSED:
        raise BrokerError(f"Kafka: {error.str()}") from KafkaException(error)


def _is_refused(error: BrokerError) -> bool:
    cause = error.__cause__
    return isinstance(cause, KafkaException) and cause.args[0].code() in _REFUSED
