"""How the console comes to an edge: its prefixes at once, the console itself when somebody looks.

It is made a moment after the start at the latest, so that it has seen something by the time that
somebody comes, and a start pays nothing for it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.gateway.documents import only_get
from borough.gateway.internal import is_loopback
from borough.gateway.segments import Handler
from borough.runtime.configuration import Configuration
from borough.transports.http.message import Request, Response

if TYPE_CHECKING:
    from borough.console.console import Console

__all__ = ["FORMER", "Mounting", "is_shown"]

FORMER = "/system"
"""Where the page was before; whoever asks there is sent on."""
_PREFIX = "/console"
_PAUSE_S = 1.0


def is_shown(configuration: Configuration) -> bool:
    """Whether there is a console: on loopback, or where one can log in, unless it is switched off."""
    options = configuration.options
    if not options.console.serve:
        return False
    return options.console.password is not None or is_loopback(options.edge.host)


class Mounting:
    """One console at one edge. `services` are the names that the edge answers itself."""

    def __init__(
        self,
        configuration: Configuration,
        services: Iterable[str],
        clock: Clock,
        make: Callable[[], Console],
    ) -> None:
        """Raises `ConfigurationError` for a service named `console`, and for a password that is not there."""
        self._services = frozenset(services)
        if _PREFIX[1:] in self._services:
            raise ConfigurationError(
                "A service is named console, and the edge shows its console there; "
                "rename the service or set console.serve = false"
            )
        configuration.console_password()  # what is missing is told at the start
        self._clock = clock
        self._make = make
        self._console: Console | None = None
        self._later: asyncio.Task[None] | None = None

    def mounts(self) -> dict[str, Handler]:
        """What it adds to the edge, by path prefix; in a running loop."""
        self._later = asyncio.create_task(self._make_later(), name="console")
        found: dict[str, Handler] = {_PREFIX: self._answer}
        if FORMER[1:] not in self._services:
            found[FORMER] = _moved_here
        return found

    async def _make_later(self) -> None:
        await self._clock.sleep(_PAUSE_S)
        await asyncio.to_thread(importlib.import_module, "borough.console.console")
        self._made()

    def _made(self) -> Console:
        if self._console is None:
            self._console = self._make()
            self._console.start()
        return self._console

    async def _answer(self, request: Request) -> Response:
        return await self._made().answer(request)

    async def close(self) -> None:
        """End what follows the console, and let go of what it reads. Idempotent."""
        later, self._later = self._later, None
        if later is not None:
            later.cancel()
            await asyncio.wait([later])
        if self._console is not None:
            await self._console.close()


async def _moved_here(request: Request) -> Response:
    only_get(request)
    return Response(308, [(b"location", b"/console/")])
