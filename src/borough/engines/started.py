"""The engines that a laptop starts for itself, by name, each with the option that says where it is."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from borough.errors import ConfigurationError

__all__ = ["Engine", "running", "started"]


class Engine(Protocol):
    """A server of our own that runs."""

    @property
    def address(self) -> str:
        """What the option takes: `host:port`, or `file:PATH` where the URL has a password (mode 0600)."""
        ...

    def watch(self) -> None:
        """From now on, say it when it ends without having been asked to."""
        ...

    def stop(self) -> None:
        """End it in order. Its data stays in its folder. Idempotent."""
        ...


_ENGINES: Mapping[str, tuple[str, str, str]] = {
    "postgres": ("borough.engines.postgres", "PostgresServer", "data.postgres.url"),
    "rabbitmq": ("borough.engines.rabbitmq", "RabbitmqServer", "events.rabbitmq.url"),
    "kafka": ("borough.engines.kafka", "KafkaServer", "events.kafka.servers"),
}

_ADDRESS = "address"


@contextmanager
def started(names: Iterable[str], folder: Path) -> Generator[dict[str, str]]:
    """Run these engines, with their data below `folder/engines`, as long as the block lasts.

    Gives the options that say where they are. Raises `ConfigurationError` where one cannot be had.
    """
    flags: dict[str, str] = {}
    engines: list[Engine] = []
    with ExitStack() as stack:
        for name in names:
            module, kind, option = _ENGINES[name]
            own = folder / "engines" / name
            try:
                own.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"{own} cannot be made: {error.strerror}") from None
            engine: Engine = getattr(importlib.import_module(module), kind).start(own)
            stack.callback(engine.stop)
            engines.append(engine)
            flags[option] = engine.address
            stack.enter_context(_told(own / _ADDRESS, engine.address))
        for engine in engines:  # by threads, which come after the last fork
            engine.watch()
        yield flags


def running(names: Iterable[str], folder: Path) -> dict[str, str]:
    """The options that say where those engines are that another process runs below `folder/engines`."""
    flags: dict[str, str] = {}
    for name in names:
        told = folder / "engines" / name / _ADDRESS
        if told.exists():
            flags[_ENGINES[name][2]] = told.read_text(encoding="utf-8").strip()
    return flags


@contextmanager
def _told(path: Path, address: str) -> Generator[None]:
    """Leave the address for other commands."""
    path.write_text(address + "\n", encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
