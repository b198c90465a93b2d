"""The topics of a cluster: made, looked at, and told what they retain. All by the admin client's own thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import confluent_kafka.admin
import msgspec
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)

from borough.brokers.kafka.places import Offsets
from borough.brokers.kafka.reason import Reason
from borough.brokers.kafka.terms import KafkaTerms
from borough.clock import Clock
from borough.contracts.retention import Retention
from borough.errors import BrokerError

__all__ = ["Topics"]

T = TypeVar("T")

# Half of its names are not typed, or not said to be public.
_ADMIN: Final[Any] = confluent_kafka.admin
_log = logging.getLogger("borough.events")

_ANSWER_S: Final = 10.0
_LOOK_AGAIN_S: Final = 30.0
_PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.05
_NOT_YET: Final = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)
"""What a topic that was just made, or whose leader was just lost, answers for a moment."""
_SAFE_REPLICAS: Final = 3
_HALF: Final = (1 << 64) - 1  # of an id: the client gives it as two signed numbers
_TOMBSTONES_S: Final = 86_400
_SEGMENT_S: Final = 3600
_LAG_S: Final = 60
_COMPACT: Final = {
    "cleanup.policy": "compact",
    "retention.ms": "-1",
    "min.cleanable.dirty.ratio": "0.1",
    "min.compaction.lag.ms": str(_LAG_S * 1000),  # readers at the end see what follows what
    "segment.ms": str(_SEGMENT_S * 1000),
    "delete.retention.ms": str(_TOMBSTONES_S * 1000),
}


class _Seen(msgspec.Struct, frozen=True):
    """A topic when it was looked at last."""

    at: float
    partitions: tuple[int, ...]
    identity: str


class Topics:
    """What one process knows of the topics, by their names in contracts."""

    def __init__(self, terms: KafkaTerms, clock: Clock, reason: Reason) -> None:
        self._terms = terms
        self._reason = reason
        self._clock = clock
        self._admin = _ADMIN.AdminClient(
            {**terms.client(), "client.id": "borough-admin", "log_level": 2}
        )
        self._seen: dict[str, _Seen] = {}
        self._retained: dict[str, Retention] = {}

    async def partitions(self, topic: str) -> tuple[int, ...]:
        """The partitions of a topic, `()` where there is no such topic. Known for half a minute."""
        seen = self._seen.get(topic)
        if seen is None or self._clock.monotonic() - seen.at >= _LOOK_AGAIN_S:
            seen = await self._look(topic)
        return seen.partitions

    async def identity(self, topic: str) -> str:
        """What tells the topic from all others that have or had its name; `""` for none, or in a cluster without."""
        return (await self._look(topic)).identity

    def forget(self, topic: str) -> None:
        """Look at it again when it is asked for: it may be gone, or have been made anew."""
        self._seen.pop(topic, None)

    async def _look(self, topic: str) -> _Seen:
        described = await self._described(topic)
        if described is None:
            self.forget(topic)
            return _Seen(0.0, (), "")
        numbers = tuple(sorted(each.id for each in described.partitions))
        seen = _Seen(self._clock.monotonic(), numbers, _text(described.topic_id))
        self._seen[topic] = seen
        return seen

    async def _described(self, topic: str) -> Any:
        name = self._terms.topic(topic)
        found = self._admin.describe_topics(TopicCollection([name]), request_timeout=_ANSWER_S)
        try:
            described = await _answer(found[name])
            self._reason.reached()
            return described
        except KafkaException as error:
            if _code(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._failed(f"{topic} cannot be looked at", error) from error

    async def ensure(self, topic: str) -> tuple[int, ...]:
        """The partitions of a topic, that is made where there is none. Raises `BrokerError`."""
        found = await self.partitions(topic)
        if found or not self._terms.creates:
            return found
        await self._create(topic)
        ends = self._clock.monotonic() + _PATIENCE_S
        while not (found := await self.partitions(topic)):
            if self._clock.monotonic() > ends:
                raise BrokerError(f"Kafka: {topic} was made and is not to be seen")
            await self._clock.sleep(_LOOK_S)  # told by one broker, known to all a moment later
        return found

    async def _create(self, topic: str) -> None:
        terms = self._terms
        name = terms.topic(topic)
        replicas = terms.replicas or min(_SAFE_REPLICAS, await self._brokers())
        in_sync = terms.in_sync or max(1, replicas - 1)
        made = self._admin.create_topics(
            [
                _ADMIN.NewTopic(
                    name,
                    num_partitions=terms.partitions,
                    replication_factor=replicas,
                    config=terms.topic_settings(in_sync),
                )
            ],
            request_timeout=_ANSWER_S,
        )
        try:
            await _answer(made[name])
        except KafkaException as error:
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._failed(f"{topic} cannot be made", error) from error
            return
        _log.info("made topic %s: %d partitions, %d replicas", name, terms.partitions, replicas)

    async def _brokers(self) -> int:
        try:
            found = await _answer(self._admin.describe_cluster(request_timeout=_ANSWER_S))
        except KafkaException as error:
            raise self._failed("the cluster cannot be looked at", error) from error
        return len(found.nodes)

    async def bounds(self, topic: str, partitions: Sequence[int]) -> tuple[Offsets, Offsets]:
        """The offsets of the earliest record of each partition, and those behind the last."""
        low, high = await asyncio.gather(
            self._offsets(topic, partitions, _ADMIN.OffsetSpec.earliest()),
            self._offsets(topic, partitions, _ADMIN.OffsetSpec.latest()),
        )
        return (
            {each: at for each, (at, _) in low.items()},
            {each: at for each, (at, _) in high.items()},
        )

    async def oldest_s(self, topic: str, partitions: Sequence[int]) -> float | None:
        """When the oldest event of a topic was published; None for an empty one."""
        first = await self._offsets(topic, partitions, _ADMIN.OffsetSpec.for_timestamp(0))
        times = [time for at, time in first.values() if at >= 0 and time >= 0]
        return min(times) / 1000 if times else None

    async def _offsets(
        self, topic: str, partitions: Sequence[int], which: Any
    ) -> dict[int, tuple[int, int]]:
        """By partition: offset and time (in ms)."""
        name = self._terms.topic(topic)
        asked = {TopicPartition(name, each): which for each in partitions}
        if not asked:
            return {}

        async def ask() -> dict[int, tuple[int, int]]:
            found = self._admin.list_offsets(
                asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_ANSWER_S
            )
            answers = [(each.partition, await _answer(told)) for each, told in found.items()]
            return {partition: (told.offset, told.timestamp) for partition, told in answers}

        try:
            return await self._patiently(f"the offsets of {topic} cannot be had", ask)
        except BrokerError:
            self.forget(topic)
            raise

    async def retain(self, topic: str, retention: Retention) -> None:
        """Let the cluster keep what the contract says; it is told when this process does not know that it was."""
        if self._retained.get(topic) == retention or not self._terms.creates:
            return
        if not await self.partitions(topic):
            return
        resource = _ADMIN.ConfigResource(
            _ADMIN.ResourceType.TOPIC,
            self._terms.topic(topic),
            incremental_configs=[
                _ADMIN.ConfigEntry(name, value, incremental_operation=_ADMIN.AlterConfigOpType.SET)
                for name, value in _retaining(retention).items()
            ],
        )
        try:
            (told,) = self._admin.incremental_alter_configs(
                [resource], request_timeout=_ANSWER_S
            ).values()
            await _answer(told)
        except KafkaException as error:
            raise self._failed(f"{topic} cannot be told what it retains", error) from error
        self._retained[topic] = retention

    def _failed(self, what: str, error: KafkaException) -> BrokerError:
        servers = ", ".join(self._terms.servers)
        return BrokerError(f"Kafka at {servers}: {what}: {self._reason.behind(error.args[0])}")

    async def _patiently(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the cluster is about to know. Raises `BrokerError`."""
        ends = self._clock.monotonic() + _PATIENCE_S
        while True:
            try:
                return await ask()
            except KafkaException as error:
                if _code(error) not in _NOT_YET or self._clock.monotonic() > ends:
                    raise self._failed(what, error) from error
            await self._clock.sleep(_LOOK_S)


def _retaining(retention: Retention) -> Mapping[str, str]:
    """The settings of a topic that retains so."""
    if retention.kind == "latest":
        return _COMPACT
    kept = str(retention.seconds * 1000) if retention.kind == "age" else "-1"
    # Whole segments go, when their last event is old enough: an eighth of the age more, as in the embedded log.
    segment_s = retention.seconds // 8 if retention.kind == "age" else 7 * 86_400
    return {"cleanup.policy": "delete", "retention.ms": kept, "segment.ms": str(segment_s * 1000)}


def _text(given: Any) -> str:
    """An id that the cluster gave, `""` for none."""
    if given is None:
        return ""
    halves = given.get_most_significant_bits(), given.get_least_significant_bits()
    return "".join(f"{half & _HALF:016x}" for half in halves) if any(halves) else ""


async def _answer(told: Any) -> Any:
    return await asyncio.wrap_future(told)


def _code(error: KafkaException) -> int:
    return int(error.args[0].code())
