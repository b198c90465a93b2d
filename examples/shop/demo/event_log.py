"""What was published, read from outside: in the files of the embedded broker, or in Kafka by a client of its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from borough.brokers.embedded.reader import LogReader
from borough.runtime.configuration import Configuration
from shop.demo.places import SHOP, Places

OWN_KAFKA = Path("engines") / "kafka" / "address"
ANSWER_S = 20.0


class Published(NamedTuple):
    """An event of a topic: its id, its type by its full name, its key."""

    id: str
    type: str
    key: str


def end_of(places: Places, topic: str) -> int:
    """The position behind the topic's last event."""
    kafka = _kafka(places)
    if kafka is not None:
        return sum(last for _, last in kafka.bounds(topic).values())
    reader = LogReader(places.data / "events" / topic)
    try:
        return reader.find_end()
    finally:
        reader.close()


def count_of(places: Places, topic: str) -> int:
    """How many events the log of a topic has."""
    kafka = _kafka(places)
    if kafka is not None:
        return sum(last - first for first, last in kafka.bounds(topic).values())
    reader = LogReader(places.data / "events" / topic)
    try:
        if not reader.seek():
            return 0
        first = reader.position
        return reader.find_end() - first
    finally:
        reader.close()


def events_of(places: Places, topic: str) -> Iterator[Published]:
    """All events of a topic; one that was published again is there again."""
    kafka = _kafka(places)
    if kafka is not None:
        yield from kafka.events(topic)
        return
    reader = LogReader(places.data / "events" / topic)
    try:
        while deliveries := reader.read(500):
            for delivery in deliveries:
                message = delivery.message
                yield Published(message.id, message.type, message.key or "")
    finally:
        reader.close()


class _KafkaLog:
    """Topics of a cluster, read with nothing of ours."""

    def __init__(self, servers: str) -> None:
        from confluent_kafka import Consumer

        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "shop-demo",
                "log_level": 0,  # it outlives the cluster by a moment
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """By partition: the first offset and the one behind the last."""
        from confluent_kafka import TopicPartition

        partitions = self._consumer.list_topics(topic, ANSWER_S).topics[topic].partitions
        return {
            each: self._consumer.get_watermark_offsets(TopicPartition(topic, each), ANSWER_S)
            for each in partitions
        }

    def events(self, topic: str) -> Iterator[Published]:
        """From the first offset of each partition to its end."""
        from confluent_kafka import TopicPartition

        bounds = self.bounds(topic)
        open_ones = {each for each, (first, last) in bounds.items() if first < last}
        self._consumer.assign([TopicPartition(topic, each, bounds[each][0]) for each in bounds])
        while open_ones:
            record = self._consumer.poll(ANSWER_S)
            if record is None:
                raise TimeoutError(f"Kafka gives nothing of {topic}")
            if record.error() is not None:
                open_ones.discard(record.partition())
                continue
            headers = dict(record.headers())
            key = record.key() or b""
            yield Published(headers["ce_id"].decode(), headers["ce_type"].decode(), key.decode())


_logs: dict[str, _KafkaLog] = {}


def _kafka(places: Places) -> _KafkaLog | None:
    """The cluster that the demo runs itself, or that the environment names; None for another broker."""
    own = places.folder / OWN_KAFKA
    if own.exists():
        servers = own.read_text(encoding="utf-8").strip()
    elif (places.data / "events").exists():
        return None
    else:
        named = Configuration.load(SHOP, os.environ, {}).options.events.kafka.servers
        servers = ",".join(named)
    if not servers:
        return None
    if servers not in _logs:
        _logs[servers] = _KafkaLog(servers)
    return _logs[servers]
