"""Publishing to Kafka: an idempotent producer, whose thread tells when every replica in sync has a batch.

A batch is durable when all of it was acknowledged. Where one event was not in time, the batch has failed: the
relay sends it again, in its order, and readers know by number and id what came twice.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from confluent_kafka import KafkaError, KafkaException, Producer

from borough.brokers.kafka.reason import Reason
from borough.brokers.kafka.records import Headers, headers_of
from borough.brokers.kafka.terms import KafkaTerms
from borough.errors import BrokerError
from borough.ports import Message

__all__ = ["Publishing"]

_log = logging.getLogger("borough.kafka")

_LOOK_S: Final = 0.1
_CLOSE_S: Final = 1.0
_GRACE_S: Final = 5.0
"""librdkafka gives an event up somewhat after its time."""
_CRITICAL: Final = 2  # of syslog: below it, of each connection that is tried again


class _Batch:
    """What waits for its acknowledgements; told by the producer's thread, one after another."""

    __slots__ = ("_left", "_loop", "done", "error")

    def __init__(self, count: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = count
        self.error: KafkaError | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()

    def told(self, error: KafkaError | None, _record: Any) -> None:
        """One event was acknowledged, or given up."""
        self._left -= 1
        if error is not None and self.error is None:
            self.error = error
        if self._left == 0:
            try:
                self._loop.call_soon_threadsafe(self._finish)
            except RuntimeError:  # the loop has ended, and nobody waits
                return

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Publishing:
    """The producer of one process, made when it is first needed, and anew when it has failed for good."""

    def __init__(
        self,
        terms: KafkaTerms,
        make: Callable[[dict[str, Any]], Any] = Producer,
        grace_s: float = _GRACE_S,
    ) -> None:
        self._terms = terms
        self._limit_s = terms.publish_s + grace_s
        self._make = make
        self._producer: Producer | None = None
        self._polling: threading.Thread | None = None
        self._ending = threading.Event()
        self._is_away = False
        self.reason = Reason()
        """Why the cluster does not answer."""

    def open(self) -> Producer:
        """The producer, which becomes acquainted with the cluster as soon as it is there."""
        producer = self._producer
        if producer is None:
            self._ending = threading.Event()
            told = {"logger": _log, "log_level": _CRITICAL, "error_cb": self._hear}
            self._producer = producer = cast(
                Producer, self._make({**self._terms.producer(), **told})
            )
            self._polling = threading.Thread(
                target=_poll,
                args=(producer, self._ending),
                name="borough-kafka-publishing",
                daemon=True,
            )
            self._polling.start()
        return producer

    async def send(self, messages: Sequence[Message], headers: Headers = ()) -> None:
        """Returns when all are durable, with these headers beside their own. Raises `BrokerError`."""
        producer = self.open()
        batch = _Batch(len(messages))
        topic_of = self._terms.topic
        for number, message in enumerate(messages):
            try:
                producer.produce(
                    topic_of(message.topic),
                    message.body,
                    message.key if message.key is None else message.key.encode(),
                    headers=[*headers_of(message), *headers],
                    on_delivery=batch.told,
                )
            except (BufferError, KafkaException) as error:
                given = error.args[0] if error.args else None
                self._replace_if_fatal(producer, given)
                said = given.str() if isinstance(given, KafkaError) else error
                # Those before it are on their way; to send them again is harmless.
                raise BrokerError(
                    f"Kafka took {number} of {len(messages)} events: {said}"
                ) from error
        try:
            async with asyncio.timeout(self._limit_s):
                await batch.done
        except TimeoutError:
            self._replace(producer)  # it has broken its promise
            raise BrokerError(
                f"Kafka's client has said nothing of {batch_name(messages)} in {self._limit_s:g} s"
            ) from None
        if batch.error is None:
            self._is_away = False
            self.reason.reached()
        else:
            self._replace_if_fatal(producer, batch.error)
            raise BrokerError(
                f"Kafka has not acknowledged {batch_name(messages)}: {self.reason.behind(batch.error)}"
            ) from KafkaException(batch.error)

    async def close(self) -> None:
        """Let go of the producer; what it has not delivered stays in the outbox. Idempotent."""
        polling = self._polling
        self._producer = self._polling = None
        if polling is None:
            return
        self._ending.set()
        await asyncio.get_running_loop().run_in_executor(None, polling.join)

    def _hear(self, error: KafkaError) -> None:
        """By the producer's thread: say once that nobody answers, until something was published again."""
        self.reason.hear(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._is_away:
            self._is_away = True
            servers = ", ".join(self._terms.servers)
            _log.warning(
                "Kafka does not answer at %s%s; events wait in their outboxes",
                servers,
                self.reason.told,
            )

    def _replace_if_fatal(self, producer: Producer, error: Any) -> None:
        """A producer that has lost its place takes nothing any more."""
        if isinstance(error, KafkaError) and error.fatal() and self._replace(producer):
            _log.error("the producer has failed for good and is made anew: %s", error.str())

    def _replace(self, producer: Producer) -> bool:
        """Let its thread end it; False where another batch has seen to that."""
        if self._producer is not producer:
            return False
        self._ending.set()
        self._producer = self._polling = None
        return True


def batch_name(messages: Sequence[Message]) -> str:
    """The topics of a batch, for a sentence."""
    topics = sorted({message.topic for message in messages})
    return f"{len(messages)} events of {', '.join(topics)}"


def _poll(producer: Producer, ending: threading.Event) -> None:
    while not ending.is_set():
        producer.poll(_LOOK_S)
    producer.purge()  # other batches wait for their word on what is left
    producer.flush(_CLOSE_S)
