"""The offsets that a group has committed, asked and told by a consumer in a worker thread.

Not by the admin client: librdkafka 2.16 reaches for a group that an admin client has not, and ends the
process, when the coordinator is away just then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from borough.brokers.kafka.places import Offsets
from borough.brokers.kafka.terms import KafkaTerms
from borough.clock import Clock
from borough.ending import ended
from borough.errors import BrokerError

__all__ = ["Group", "made_consumer"]

T = TypeVar("T")

_log = logging.getLogger("borough.kafka")

_CRITICAL: Final = 2  # of syslog: that the cluster is away is said by the publisher, once
_ANSWER_S: Final = 5.0
_PATIENCE_S: Final = 15.0
_LOOK_S: Final = 0.1


def made_consumer(
    terms: KafkaTerms, group: str, settings: Mapping[str, object] | None = None
) -> Consumer:
    """A consumer of a handler's group, with settings of its own; one thread at a time may use it."""
    told = {"logger": _log, "log_level": _CRITICAL, **(settings or {})}
    return Consumer({**terms.consumer(group), **told})


class Group:
    """What the group of one handler has committed in one topic, by means of its consumer."""

    def __init__(
        self, consumer: Consumer, name: str, threads: ThreadPoolExecutor, clock: Clock
    ) -> None:
        self._consumer = consumer
        self._name = name
        self._threads = threads
        self._clock = clock

    async def committed(self, partitions: Sequence[int]) -> Offsets:
        """By partition; those of which nothing is known are left out. Raises `BrokerError`."""

        def ask() -> Offsets:
            asked = [TopicPartition(self._name, each) for each in partitions]
            found = self._consumer.committed(asked, timeout=_ANSWER_S)
            return {each.partition: each.offset for each in found if each.offset >= 0}

        return await self._patiently("the offsets of a group cannot be had", ask)

    async def commit(self, offsets: Offsets) -> None:
        """Commit these, and wait for it. Raises `BrokerError`."""
        places = [TopicPartition(self._name, each, at) for each, at in offsets.items()]

        def tell() -> None:
            for told in self._consumer.commit(offsets=places, asynchronous=False) or ():
                if told.error is not None:
                    raise KafkaException(told.error)

        await self._patiently("the beginning of a group cannot be noted", tell)

    async def _patiently(self, what: str, ask: Callable[[], T]) -> T:
        """Ask again while the coordinator is not there yet."""
        clock = self._clock
        ends = clock.monotonic() + _PATIENCE_S
        while True:
            try:
                return await _in_thread(self._threads, ask)
            except KafkaException as error:
                if clock.monotonic() > ends:
                    raise BrokerError(
                        f"Kafka: {self._name}: {what}: {error.args[0].str()}"
                    ) from error
            await clock.sleep(_LOOK_S)


async def _in_thread(threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    """Run it in a thread; who is cancelled waits until the thread has ended, as others may use the consumer then."""
    return await ended(asyncio.get_running_loop().run_in_executor(threads, function))
