"""Which adapter stands behind a port: what borough.toml chooses, made. Nothing else knows all of them.

Each is imported when it is chosen, so that nobody pays for an engine that is not used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.ports import Broker, Store
from borough.runtime.configuration import Configuration
from borough.runtime.options import Options
from borough.runtime.service_facts import ServiceFacts, StoreKind
from borough.services.settings import Secret
from borough.stores.migrations import Applied

__all__ = [
    "applied_to",
    "engines_without_address",
    "has_database",
    "make_broker",
    "make_store",
    "postgres_url",
    "require_drivers",
    "store_kind",
]

POSTGRES_URL = "data.postgres.url"
_SERVICE = "{service}"
_DRIVERS = {"postgres": "asyncpg", "rabbitmq": "aio_pika", "kafka": "confluent_kafka"}
_LONGEST_EXPIRY_S = 49 * 86_400.0
_KAFKA_SERVER = re.compile(
    r"(?:\w+://)?(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/,\[\]]+)(?::(?P<port>\d{1,5}))?"
)
Deadline = Callable[[], float | None]
"""The monotonic deadline of the call at hand, or None."""


def store_kind(options: Options, service: str) -> StoreKind:
    """What the database of a service is."""
    return options.services.get(service, ServiceFacts()).store or options.data.store


def make_store(
    configuration: Configuration,
    folder: Path,
    service: str,
    clock: Clock,
    deadline: Deadline | None = None,
) -> Store:
    """The database of a service, not open yet; `folder` is the data folder.

    Raises `ConfigurationError` where its extra is not installed or its address is missing.
    """
    kind = store_kind(configuration.options, service)
    if kind == "postgres":
        return _postgres_store(configuration, service, clock, deadline)
    from borough.stores.sqlite import SqliteStore

    path = folder / f"{service}.db"
    if deadline is None:
        return SqliteStore(path, clock=clock)
    return SqliteStore(path, clock=clock, deadline=deadline)


def _postgres_store(
    configuration: Configuration, service: str, clock: Clock, deadline: Deadline | None
) -> Store:
    url = postgres_url(configuration, service)
    try:
        from borough.stores.postgres import PostgresStore
    except ImportError as error:
        raise _missing("the store postgres", error.name, "postgres") from None
    if deadline is None:
        return PostgresStore(url, service=service, clock=clock)
    return PostgresStore(url, service=service, clock=clock, deadline=deadline)


def require_drivers(engines: Iterable[str]) -> None:
    """Raise `ConfigurationError` where what speaks to one of these engines is not installed."""
    for engine in engines:
        if find_spec(_DRIVERS[engine]) is None:
            raise _missing(engine, _DRIVERS[engine], engine)


def _missing(what: str, driver: str | None, extra: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what} needs {driver}: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[{extra}]'"
    )


def postgres_url(configuration: Configuration, service: str) -> Secret:
    """Where a service's database is: `{service}` stands for its name, and so does a missing database.

    Raises `ConfigurationError` where nothing tells the databases of two services apart.
    """
    given = configuration.options.data.postgres.url
    if given is None:
        raise ConfigurationError(
            f"nothing says where the database of {service} is: set data.postgres.url, or let `borough run` "
            "start a server itself"
        )
    found = configuration.address(POSTGRES_URL, given.replace(_SERVICE, service)).reveal()
    parts = urlsplit(found)
    if parts.path in ("", "/"):
        found = urlunsplit(parts._replace(path=f"/{service}"))
    elif _SERVICE not in given + found:
        raise ConfigurationError(
            f"{POSTGRES_URL} names one database for all services, and each has its own: write {_SERVICE} in its "
            "place, or in the reference (`file:secrets/{service}.url`)"
        )
    return Secret(found.replace(_SERVICE, service))


def applied_to(configuration: Configuration, folder: Path, service: str) -> Mapping[str, Applied]:
    """Which of its own migrations a service's database has, where it has a database; blocking.

    Raises `ConfigurationError` or `StoreUnavailable`.
    """
    if store_kind(configuration.options, service) == "sqlite":
        from borough.stores.sqlite.migrate import read_applied

        return read_applied(folder / f"{service}.db", "service")
    url = postgres_url(configuration, service)
    from borough.stores.postgres.migrate import read_applied_there

    return asyncio.run(read_applied_there(url.reveal(), "service"))


def has_database(configuration: Configuration, folder: Path, service: str) -> bool:
    """Whether a service's database can be looked into: a file that a first start has made, or a server's."""
    is_file = store_kind(configuration.options, service) == "sqlite"
    return not is_file or (folder / f"{service}.db").exists()


def make_broker(configuration: Configuration, folder: Path, clock: Clock) -> Broker:
    """What carries the system's events, not open yet; `folder` is the data folder.

    Raises `ConfigurationError` where its extra is not installed or its address is missing.
    """
    kind = configuration.options.events.broker
    if kind == "rabbitmq":
        return _rabbitmq(configuration)
    if kind == "kafka":
        return _kafka(configuration, clock)
    from borough.brokers.embedded import EmbeddedBroker

    return EmbeddedBroker(folder / "events", clock)


def _rabbitmq(configuration: Configuration) -> Broker:
    options = configuration.options.events.rabbitmq
    try:
        from borough.brokers.rabbitmq import RabbitmqBroker, RabbitmqTerms
    except ImportError as error:
        raise _missing("the broker rabbitmq", error.name, "rabbitmq") from None
    if options.url is None:
        raise ConfigurationError(
            "nothing says where RabbitMQ is: set [events.rabbitmq] url in borough.toml"
        )
    if options.unused_for.seconds > _LONGEST_EXPIRY_S:
        raise ConfigurationError(
            f"events.rabbitmq.unused_for is {options.unused_for}; RabbitMQ takes at most 49d"
        )
    url = configuration.address("events.rabbitmq.url", options.url)
    terms = RabbitmqTerms(
        system=configuration.options.system.name,
        prefix=options.prefix,
        version=options.version,
        prefetch=options.prefetch,
        delivery_limit=options.delivery_limit,
        queue_events=options.queue_events,
        queue_bytes=options.queue_bytes,
        unused_for_s=options.unused_for.seconds,
    )
    return RabbitmqBroker(url, terms)


def _kafka(configuration: Configuration, clock: Clock) -> Broker:
    options = configuration.options.events.kafka
    try:
        from borough.brokers.kafka import KafkaBroker, KafkaTerms
    except ImportError as error:
        raise _missing("the broker kafka", error.name, "kafka") from None
    if not options.servers:
        raise ConfigurationError(
            "nothing says where Kafka is: set [events.kafka] servers in borough.toml"
        )
    for server in options.servers:
        found = _KAFKA_SERVER.fullmatch(server)
        if found is None or not 0 < int(found["port"] or 9092) < 65_536:
            raise ConfigurationError(f"events.kafka.servers: {server!r} is no HOST:PORT")
    settings: dict[str, str] = {}
    for name, given in options.settings.items():
        option = f"events.kafka.settings.{name}"
        if name in ("bootstrap.servers", "metadata.broker.list"):
            raise ConfigurationError(f"{option}: say in events.kafka.servers where Kafka is")
        is_secret = "password" in name or "secret" in name or name.endswith("key.pem")
        if is_secret and not given.startswith(("env:", "file:")):
            raise ConfigurationError(
                f'{option} is a secret in clear; write "env:NAME" or "file:PATH" instead'
            )
        settings[name] = configuration.address(option, given).reveal()
    terms = KafkaTerms(
        servers=options.servers,
        system=configuration.options.system.name,
        prefix=options.prefix,
        partitions=options.partitions,
        replicas=options.replicas,
        in_sync=options.in_sync,
        creates=options.creates,
        publish_s=options.publish_s,
        settings=settings,
    )
    return KafkaBroker(terms, clock)


def engines_without_address(options: Options) -> list[str]:
    """The engines that are chosen while nothing says where they are: `postgres`, `rabbitmq`, `kafka`."""
    found: list[str] = []
    kinds = {options.data.store, *(facts.store for facts in options.services.values())}
    if "postgres" in kinds and options.data.postgres.url is None:
        found.append("postgres")
    events = options.events
    if events.broker == "rabbitmq" and events.rabbitmq.url is None:
        found.append("rabbitmq")
    if events.broker == "kafka" and not events.kafka.servers:
        found.append("kafka")
    return found
