"""`--store` and `--broker`: which engines keep data and carry events, and those that a laptop runs itself."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borough.errors import ConfigurationError

if TYPE_CHECKING:
    from borough.runtime.configuration import Configuration

__all__ = [
    "add_engine_options",
    "chosen_engines",
    "engine_flags",
    "running_engines",
    "with_engines_in_use",
    "with_own_engines",
]

_STORES = ("sqlite", "postgres")
_OF_ALL = ("data.store", "events.broker")


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the two flags."""
    parser.add_argument(
        "--store",
        type=_stores,
        metavar="NAME",
        help="what the databases are, `sqlite` or `postgres` (data.store), or those of some services: "
        "`search=sqlite,orders=postgres`",
    )
    parser.add_argument(
        "--broker",
        choices=["embedded", "rabbitmq", "kafka"],
        help="what carries the events (events.broker)",
    )


def engine_flags(options: argparse.Namespace) -> dict[str, Any]:
    """The options that the two flags are."""
    flags: dict[str, Any] = dict(options.store or {})
    if options.broker is not None:
        flags["events.broker"] = options.broker
    return flags


def _stores(text: str) -> dict[str, str]:
    """The options that `--store` is: `postgres`, or `SERVICE=postgres` with commas."""
    found: dict[str, str] = {}
    for part in text.split(","):
        service, equals, store = part.strip().rpartition("=")
        if store not in _STORES or (equals and not service):
            raise argparse.ArgumentTypeError(
                f"{text!r}: write {' or '.join(_STORES)}, or SERVICE=NAME with commas between them"
            )
        found[f"services.{service}.store" if equals else "data.store"] = store
    return found


@contextmanager
def with_own_engines(
    configuration: Configuration, flags: Mapping[str, Any], mocks: Sequence[str] = ()
) -> Generator[dict[str, Any]]:
    """The flags with the addresses of the engines that have none, which run as long as the block lasts.

    `configuration` is what comes of these flags.

    Raises `ConfigurationError` where one cannot be had, and for a system that could not be run with them.
    """
    from borough.engines.started import started

    names, folder = _missing(configuration)
    if names:
        from borough.runtime.adapters import require_drivers
        from borough.runtime.mocks import mocked
        from borough.runtime.system import System

        require_drivers(names)
        # Faults are told before servers are made.
        mocked(System.load(configuration.folder, flags=flags), mocks)
        print(f"borough: starting {', '.join(names)} in {folder / 'engines'}", file=sys.stderr)
    with started(names, folder) as found:
        yield {**flags, **found}


def running_engines(path: Path, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with the addresses of the engines that another `borough run` has started for itself."""
    from borough.engines.started import running
    from borough.runtime.configuration import Configuration

    configuration = Configuration.load(path.resolve(), os.environ, flags)
    return {**flags, **running(*_missing(configuration))}


def chosen_engines(configuration: Configuration) -> dict[str, str]:
    """The options that say what keeps data and carries events, wherever they came from."""
    options = configuration.options
    services = options.services.items()
    stores = {f"services.{name}.store": facts.store for name, facts in services if facts.store}
    return {"data.store": options.data.store, "events.broker": options.events.broker, **stores}


def with_engines_in_use(
    configuration: Configuration, flags: Mapping[str, Any], services: Iterable[str]
) -> dict[str, Any]:
    """The flags with the engines of the system that runs on this data, where they name none: what it was started
    with need not stand in borough.toml. Of what it says of services only those that are here count."""
    from borough.cli.address import read_address

    try:
        in_use = read_address(configuration.data_folder).engines
    except ConfigurationError:  # nothing runs there
        return dict(flags)
    named = {_kind(name) for name in flags}
    here = {*(f"services.{name}.store" for name in services), *_OF_ALL}
    return {**{k: v for k, v in in_use.items() if k in here and _kind(k) not in named}, **flags}


def _kind(option: str) -> str:
    return option.rpartition(".")[2]


def _missing(configuration: Configuration) -> tuple[list[str], Path]:
    """The engines without an address, and the data folder."""
    from borough.runtime.adapters import engines_without_address

    return engines_without_address(configuration.options), configuration.data_folder
