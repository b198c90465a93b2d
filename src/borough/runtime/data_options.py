"""What borough.toml may say of databases, and of what carries events.

The sentence below a field is its entry in docs/reference/configuration.md.
"""

# ruff: noqa: RUF012 - msgspec copies them
from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from borough.runtime.duration import Duration
from borough.runtime.service_facts import StoreKind
from borough.runtime.table import AtLeastOne, Filled, Seconds, Table

__all__ = ["DataOptions", "EventOptions", "KafkaOptions", "PostgresOptions", "RabbitmqOptions"]

BrokerKind = Literal["embedded", "rabbitmq", "kafka"]


class PostgresOptions(Table, frozen=True):
    """Where PostgreSQL is, for services whose store it is."""

    url: str | None = None
    """Its URL; one with a password by `env:NAME` or `file:PATH`. If not given, `borough run` starts a server itself."""


class DataOptions(Table, frozen=True):
    """What the process keeps."""

    folder: Filled = ".borough"
    """Where databases, event logs and keys live, relative to the system's folder."""
    store: StoreKind = "sqlite"
    """What the services' databases are: `sqlite`, files in that folder, or `postgres`."""
    postgres: PostgresOptions = PostgresOptions()


class RabbitmqOptions(Table, frozen=True):
    """Where RabbitMQ is, if it is the broker."""

    url: str | None = None
    """Its URL; one with a password by `env:NAME` or `file:PATH`. If not given, `borough run` starts a server itself."""
    prefix: str = "borough"
    """How the names of its exchanges and queues begin; systems with a prefix each share a virtual host."""
    version: AtLeastOne = 1
    """Of the queues. To be raised where settings of queues were changed that exist."""
    prefetch: Annotated[int, msgspec.Meta(ge=500, le=20_000)] = 1000
    """How many events a handler is given before it has handed one back."""
    delivery_limit: AtLeastOne = 100
    """How often RabbitMQ gives an event to processes that die, before it comes by the handler's side queue."""
    queue_events: AtLeastOne = 10_000_000
    """How many events wait for a handler; above it publishers keep theirs in the outbox."""
    queue_bytes: AtLeastOne = 8 << 30
    """How many bytes wait for a handler; above it publishers keep theirs in the outbox."""
    unused_for: Duration = Duration("30d")
    """After how long a queue is deleted that no handler reads any more; at most 49d."""


class KafkaOptions(Table, frozen=True):
    """Where Kafka is, if it is the broker."""

    servers: tuple[str, ...] = ()
    """`host:port` of some of its brokers; if not given, `borough run` starts one of its own."""
    prefix: str = ""
    """What stands before the names of topics and groups, so that systems can share a cluster."""
    creates: bool = True
    """Whether missing topics are made, and told what they retain; else somebody else does both."""
    partitions: AtLeastOne = 3
    """How many partitions a topic is made with."""
    replicas: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many brokers keep each event; 0 are three, or as many brokers as there are."""
    in_sync: Annotated[int, msgspec.Meta(ge=0)] = 0
    """How many of them must have an event before it counts as published; 0 is one less than `replicas`."""
    publish_s: Seconds = 30.0
    """How long publishing may take, in seconds; then the relay tries it again from the outbox."""
    settings: dict[str, str] = {}
    """Settings of librdkafka for TLS and SASL, secrets by `env:NAME` or `file:PATH`: `"sasl.password" = "env:PW"`."""


class EventOptions(Table, frozen=True):
    """How events travel, how they are shared among processes, and how often one is tried."""

    broker: BrokerKind = "embedded"
    """What carries them: `embedded`, files in the data folder, or `rabbitmq`, or `kafka`."""
    rabbitmq: RabbitmqOptions = RabbitmqOptions()
    kafka: KafkaOptions = KafkaOptions()
    lease_s: Seconds = 6.0
    """How long the roles of a process (relays, consumers, schedules) stay its own when it has died, in seconds."""
    attempts: AtLeastOne = 12
    """How often an event is tried before it is dead; each counts when it begins."""
    retry_first_s: Seconds = 10.0
    """The longest first wait of a parked event, in seconds; each next one may be twice as long."""
    retry_last_s: Seconds = 900.0
    """The longest wait of a parked event between two attempts, in seconds."""
    inbox_for: Duration = Duration("7d")
    """How long a handler remembers which events it has handled: as long as what it hears may come again."""
    dead_for: Duration = Duration("14d")
    """How long a dead event is kept for a replay; one that holds others is kept until then."""
    housekeeping_every_s: Seconds = 60.0
    """How often each service deletes what has been kept for long enough, in seconds."""
