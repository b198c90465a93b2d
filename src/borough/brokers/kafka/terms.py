"""What the clients of a Kafka cluster are told: the settings that lose no event, and where the cluster is.

Each is written out, also where today's default is the same: a default may change, a promise may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from borough.ports import LONGEST_EVENT

__all__ = ["LONGEST_RECORD", "KafkaTerms"]

LONGEST_RECORD: Final = LONGEST_EVENT + 64 * 1024
"""An event with its key and headers, in bytes."""

_FEW_BYTES_AHEAD: Final = 4096
_EVENTS_AHEAD: Final = 2000
_ANSWER_S: Final = 10.0


class KafkaTerms(msgspec.Struct, frozen=True):
    """Where the cluster is, and how its topics are made.

    `prefix` stands before the names of topics and groups, so that systems can share a cluster; what services are
    called there is `system`'s alone. `replicas` 0 are three, or as many as there are brokers; `in_sync` 0 is one less,
    at least one. With `creates` off, topics are made by somebody else. `settings` go to librdkafka as they are:
    credentials, certificates.
    """

    servers: tuple[str, ...]
    system: str = "system"
    prefix: str = ""
    partitions: int = 3
    replicas: int = 0
    in_sync: int = 0
    creates: bool = True
    publish_s: float = 30.0
    settings: Mapping[str, str] = {}

    def topic(self, name: str) -> str:
        """What a topic is called in the cluster."""
        return self.prefix + name

    def group(self, name: str) -> str:
        """What a handler's group is called in the cluster."""
        return self.prefix + name

    def client(self) -> dict[str, Any]:
        """What every client is told."""
        return {
            "bootstrap.servers": ",".join(self.servers),
            "client.id": "borough",
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,  # it is tried again soon after the cluster is back
            "socket.timeout.ms": 10_000,
            "socket.keepalive.enable": True,
            "log.connection.close": False,
            **self.settings,
        }

    def producer(self) -> dict[str, Any]:
        """A publisher that neither loses nor reorders: what it cannot deliver stays in the outbox."""
        return {
            **self.client(),
            "acks": "all",
            "enable.idempotence": True,
            "max.in.flight.requests.per.connection": 5,
            # Long enough for a broker to come back: what was given up costs a new epoch of the producer.
            "delivery.timeout.ms": round(self.publish_s * 1000),
            "request.timeout.ms": round(min(self.publish_s, _ANSWER_S) * 1000),
            "linger.ms": 1,
            "partitioner": "murmur2_random",  # the key's place is the same as for a publisher in Java
            "message.max.bytes": LONGEST_RECORD,
            "queue.buffering.max.messages": 100_000,
        }

    def consumer(self, group: str) -> dict[str, Any]:
        """A reader that commits by itself never, and says where it could not go on."""
        return {
            **self.client(),
            "group.id": self.group(group),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # told, counted and begun with the earliest: never silently
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "fetch.wait.max.ms": 500,
            "fetch.error.backoff.ms": 100,
            "fetch.queue.backoff.ms": 20,
            "queued.min.messages": _EVENTS_AHEAD,
            "queued.max.messages.kbytes": _FEW_BYTES_AHEAD,
        }

    def topic_settings(self, in_sync: int) -> dict[str, str]:
        """How a topic begins: it keeps everything until the publisher's housekeeping says what it retains."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",  # age counts from when others could see it
            "max.message.bytes": str(LONGEST_RECORD),
            "min.insync.replicas": str(in_sync),
            "unclean.leader.election.enable": "false",
        }
