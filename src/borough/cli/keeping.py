"""What `borough run` keeps of all that its processes see, in the data folder, while it runs."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from borough.cli.address import forget_dead_keeper
from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.observing.keeper import Keeper
from borough.runtime.configuration import Configuration
from borough.runtime.host import make_folder

__all__ = ["kept"]

_log = logging.getLogger("borough.telemetry")
_MIB = 1024 * 1024


@asynccontextmanager
async def kept(configuration: Configuration, clock: Clock) -> AsyncGenerator[Keeper | None]:
    """A keeper as long as the block lasts; None where nothing is to be kept, or it cannot be.

    A system runs without it, so that is only warned of. Raises `ConfigurationError` for the data folder.
    """
    options = configuration.options.telemetry
    if not (options.record and options.keep):
        yield None
        return
    folder = configuration.data_folder
    make_folder(folder)
    forget_dead_keeper(folder)
    keeper = Keeper(folder, clock, options.keep_mib * _MIB, options.port)
    try:
        await keeper.open()
    except ConfigurationError as error:
        _log.warning("what is seen is not kept: %s", error)
        await keeper.close()
        yield None
        return
    try:
        yield keeper
    finally:
        await keeper.close()
