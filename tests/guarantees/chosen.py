"""The suite of promises on stores and brokers as borough.toml chooses them, and the pairs that are tried."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from borough.clock import SystemClock
from borough.ports import Broker, Store
from borough.runtime.adapters import make_broker, make_store
from borough.runtime.configuration import Configuration
from borough.testing.conformance import PromiseConformance
from borough.testing.conformance.interference import Interrupted

__all__ = ["BROKERS", "PAIRS", "STORES", "ChosenAdapters", "Pair", "choose", "pairs"]

STORES = ("sqlite", "postgres")
BROKERS = ("embedded", "rabbitmq", "kafka")


class Pair(NamedTuple):
    """A store and a broker that carry a system together."""

    store: str
    broker: str

    def __str__(self) -> str:
        return f"{self.store}-{self.broker}"


QUEUE_YOUNG_S = 6.0
"""RabbitMQ 3.10 writes down only after some seconds which quorum queues it has."""


PAIRS = (Pair("sqlite", "embedded"), Pair("postgres", "rabbitmq"), Pair("sqlite", "kafka"))
"""Every store and every broker at least once."""


def pairs(*, all_of_them: bool) -> Iterable[Pair]:
    """What is tried: a few pairs, or the full product."""
    return [Pair(*names) for names in product(STORES, BROKERS)] if all_of_them else PAIRS


class BrokerServer(Protocol):
    """A broker's own server."""

    def kill(self) -> None: ...

    def restart(self) -> None: ...


class StoreServer(Protocol):
    """A store's own server."""

    def stop_at_once(self) -> None: ...

    def restart(self) -> None: ...


class ChosenAdapters(PromiseConformance):
    """Stores and broker as `flags` choose them, which may name `{folder}` and `{name}`."""

    flags: Mapping[str, Any]
    broker_server: BrokerServer | None = None
    young_s: float = 0.0
    """How long the broker's server takes to have what is new in it safe from its own `kill -9`."""
    store_server: StoreServer | None = None
    postgres_url: str = ""
    """Of the server, if there is one; each test has databases of its own there."""

    def __getstate__(self) -> Mapping[str, Any]:
        """What its processes must know; servers are ended and started by the test alone."""
        return {"flags": self.flags, "postgres_url": self.postgres_url}

    def configuration(self, folder: Path) -> Configuration:
        """The options of a system on this folder."""
        names = {"folder": folder, "name": folder.name.lower().replace("_", "-")}
        flags = {
            path: value.format(**names) if isinstance(value, str) else value
            for path, value in self.flags.items()
        }
        (folder / "data").mkdir(exist_ok=True)
        if self.postgres_url:
            url = f"{self.postgres_url}/{names['name']}-{{service}}"
            (folder / "postgres.url").write_text(url, encoding="utf-8")
        return Configuration.load(folder / "no-system", {}, flags)

    async def make_store(self, folder: Path, service: str) -> Store:
        return make_store(self.configuration(folder), folder / "data", service, SystemClock())

    async def make_broker(self, folder: Path) -> Broker:
        return make_broker(self.configuration(folder), folder / "data", SystemClock())

    @asynccontextmanager
    async def broker_away(self, interrupted: Interrupted) -> AsyncGenerator[None]:
        if self.broker_server is None:
            async with super().broker_away(interrupted):
                yield
            return
        await asyncio.sleep(self.young_s)
        self.broker_server.kill()
        try:
            yield
        finally:  # not in a thread: a server ends with the thread that has started it
            self.broker_server.restart()

    async def crash_store(self) -> None:
        if self.store_server is not None:
            self.store_server.stop_at_once()
            self.store_server.restart()


def choose(suite: ChosenAdapters, pair: Pair, server: Callable[[str], Any]) -> None:
    """Have the suite run on this pair; `server` gives an engine's running server by its name."""
    flags: dict[str, Any] = {"data.store": pair.store, "events.broker": pair.broker}
    if pair.store == "postgres":
        suite.store_server = running = server("postgres_server")
        suite.postgres_url = running.url
        flags["data.postgres.url"] = "file:{folder}/postgres.url"
    if pair.broker == "rabbitmq":
        suite.broker_server = running = server("rabbitmq")
        suite.young_s = QUEUE_YOUNG_S
        flags["events.rabbitmq.url"] = running.address
        flags["events.rabbitmq.prefix"] = "{name}"
    if pair.broker == "kafka":
        suite.broker_server = running = server("kafka")
        flags["events.kafka.servers"] = [running.address]
        flags["events.kafka.prefix"] = "{name}-"
    suite.flags = flags
