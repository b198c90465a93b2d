"""How alerting comes to a process: what is declared is checked at the start, the rest begins a moment later.

So a start pays nothing for it, and what is wrong in borough.toml is told at once.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from borough.alerting.declared import declared_in
from borough.clock import Clock
from borough.runtime.configuration import Configuration

if TYPE_CHECKING:
    from borough.alerting.alerting import Alerting, Facts

__all__ = ["Begun"]

_PAUSE_S = 1.0


class Begun:
    """Alerting of one process or fleet. `start` and `close` belong to a running loop."""

    def __init__(
        self,
        configuration: Configuration,
        services: Collection[str],
        make_facts: Callable[[], Facts],
        clock: Clock,
        folder: Path,
    ) -> None:
        """Raises `ConfigurationError` for what borough.toml says wrongly."""
        self._options = configuration.options
        self._declared = declared_in(configuration, services)
        self._make_facts = make_facts
        self._clock = clock
        self._folder = folder
        self._alerting: Alerting | None = None
        self._later: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin a moment later."""
        self._later = asyncio.create_task(self._start_later(), name="alerts begin")

    async def _start_later(self) -> None:
        await self._clock.sleep(_PAUSE_S)
        await asyncio.to_thread(importlib.import_module, "borough.alerting.alerting")
        self.alerting()

    def alerting(self) -> Alerting:
        """What was begun; at once where somebody asks for it."""
        if self._alerting is None:
            from borough.alerting.alerting import Alerting

            self._alerting = Alerting(
                self._options, self._declared, self._make_facts(), self._clock, self._folder
            )
            self._alerting.start()
        return self._alerting

    async def close(self) -> None:
        """End it. Idempotent."""
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
            await asyncio.wait([later])
        if self._alerting is not None:
            await self._alerting.close()
