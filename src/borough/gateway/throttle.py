"""How often one client may ask."""

from __future__ import annotations

import math
from collections.abc import Sequence

from borough.clock import Clock
from borough.errors import ConfigurationError, TooManyRequests
from borough.gateway.clients import Clients
from borough.gateway.identity import EdgeIdentity
from borough.reliability.rate import Buckets, read_rate
from borough.transports.http.message import Request

__all__ = ["Throttle"]


class Throttle:
    """Refuses what comes too often."""

    def __init__(
        self,
        rate: str,
        identity: EdgeIdentity,
        clock: Clock,
        *,
        proxies: Sequence[str] = (),
        clients: int = 10_000,
    ) -> None:
        """`proxies`: networks whose `X-Forwarded-For` is believed. Raises `ConfigurationError`."""
        try:
            self._buckets = Buckets(read_rate(rate), clients)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        self._rate = rate
        self._clock = clock
        self._clients = Clients(identity, proxies)

    def check(self, request: Request) -> None:
        """Count a request. Raises `TooManyRequests` with the seconds to wait."""
        wait_s = self._buckets.take(self._clients.of(request), self._clock.monotonic())
        if wait_s > 0:
            self._clients.tell_of_proxy(request)
            raise TooManyRequests(
                f"More than {self._rate} came from this client", retry_after_s=math.ceil(wait_s)
            )
