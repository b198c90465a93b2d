"""What stands behind the ports of one process: what the configuration chooses, or what it is handed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from borough.clock import Clock
from borough.ports import Broker, Store
from borough.runtime.adapters import Deadline, make_broker, make_store, store_kind
from borough.runtime.configuration import Configuration

__all__ = ["Adapters", "ChosenAdapters"]

_log = logging.getLogger("borough.stores")


class Adapters(Protocol):
    """Makes the adapters of a process."""

    def store(self, service: str, deadline: Deadline) -> Store:
        """The database of a service, not open yet."""
        ...

    def broker(self) -> Broker:
        """What carries the events, not open yet. Asked for once."""
        ...


class ChosenAdapters:
    """Those that the configuration chooses."""

    def __init__(self, configuration: Configuration, folder: Path, clock: Clock) -> None:
        self._configuration = configuration
        self._folder = folder
        self._clock = clock

    def store(self, service: str, deadline: Deadline) -> Store:
        """See `make_store`. Data that the service had on SQLite are not taken along, and that is said."""
        file = self._folder / f"{service}.db"
        if store_kind(self._configuration.options, service) != "sqlite" and file.exists():
            _log.warning(
                "%s has data on SQLite in %s, which are not read: its store is postgres now; go back by "
                'services.%s.store = "sqlite", or move the file away when it has served',
                service,
                file,
                service,
            )
        return make_store(self._configuration, self._folder, service, self._clock, deadline)

    def broker(self) -> Broker:
        """See `make_broker`."""
        return make_broker(self._configuration, self._folder, self._clock)
