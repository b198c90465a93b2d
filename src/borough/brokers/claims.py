"""Names at a shared broker are of one system: a service claims those that begin with its own.

Two systems with a service of the same name and the same prefix would take events from each other, or decide about
each other's. The broker keeps the name of the system that came first, and the other does not start. Where the broker
is away at the start, nothing is published or read before the claim has been made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from borough.errors import BrokerError, ConfigurationError

__all__ = ["Claims", "of_another"]

_log = logging.getLogger("borough.events")
_PATIENCE_S: Final = 5.0


class Claims:
    """What the services of a process claim; `claim` does it for one, and may be repeated."""

    def __init__(self, claim: Callable[[str], Awaitable[None]]) -> None:
        self._claim = claim
        self._turn = asyncio.Lock()
        self._waiting: set[str] = set()

    @property
    def wait(self) -> bool:
        """Whether there are some that were not made yet."""
        return bool(self._waiting)

    async def begin(self, services: Iterable[str]) -> None:
        """Claim for these now, or as soon as the broker is there.

        Raises `ConfigurationError` where a service of that name is another system's.
        """
        self._waiting.update(services)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.settle()
        except (BrokerError, TimeoutError) as error:
            _log.debug("names are claimed when the broker is there: %s", error)

    async def settle(self) -> None:
        """Claim what waits, if anything does. Raises `BrokerError`, `ConfigurationError`."""
        if not self.wait:
            return
        async with self._turn:
            for service in sorted(self._waiting):
                await self._claim(service)
                self._waiting.discard(service)


def of_another(
    place: str, service: str, system: str, owner: str, prefix: str, remedy: str
) -> ConfigurationError:
    """The sentence for who comes second."""
    under = f"under the prefix {prefix!r}" if prefix else "without a prefix"
    return ConfigurationError(
        f"{place}: what the service {service} has there {under} is of the system {owner!r}, and this is {system!r}: "
        f"two systems would take events from each other. {remedy}"
    )
