"""`--store` and `--broker`: which engines keep data and carry events, and those that a laptop runs itself."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["add_engine_options", "engine_flags", "running_engines", "with_own_engines"]


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Add the two flags."""
    parser.add_argument(
        "--store",
        choices=["sqlite", "postgres"],
        help="what the databases are, where borough.toml says nothing else of a service (data.store)",
    )
    parser.add_argument(
        "--broker",
        choices=["embedded", "rabbitmq", "kafka"],
        help="what carries the events (events.broker)",
    )


def engine_flags(options: argparse.Namespace) -> dict[str, Any]:
    """The options that the two flags are."""
    given = {"data.store": options.store, "events.broker": options.broker}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def with_own_engines(path: Path, flags: Mapping[str, Any]) -> Generator[dict[str, Any]]:
    """The flags with the addresses of the engines that have none, which run as long as the block lasts.

    Raises `ConfigurationError` where one cannot be had.
    """
    from borough.engines.started import started

    names, folder = _missing(path, flags)
    if names:
        print(f"borough: starting {', '.join(names)} in {folder / 'engines'}", file=sys.stderr)
    with started(names, folder) as found:
        yield {**flags, **found}


def running_engines(path: Path, flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with the addresses of the engines that another `borough run` has started for itself."""
    from borough.engines.started import running

    return {**flags, **running(*_missing(path, flags))}


def _missing(path: Path, flags: Mapping[str, Any]) -> tuple[list[str], Path]:
    """The engines without an address, and the data folder."""
    from borough.runtime.adapters import engines_without_address
    from borough.runtime.configuration import Configuration

    configuration = Configuration.load(path.resolve(), os.environ, flags)
    return engines_without_address(configuration.options), configuration.data_folder
