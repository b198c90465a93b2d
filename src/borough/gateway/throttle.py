"""How often one client may ask: counted per signed-in subject, else per address.

A token that was not checked before counts against its address, so that checking forged ones is
limited too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from borough.clock import Clock
from borough.errors import ConfigurationError, TooManyRequests
from borough.gateway.identity import EdgeIdentity
from borough.reliability.rate import Buckets, read_rate
from borough.transports.http.addresses import Proxies, client_of
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
        self._identity = identity
        self._clock = clock
        self._proxies = Proxies(proxies)

    def check(self, request: Request) -> None:
        """Count a request. Raises `TooManyRequests` with the seconds to wait."""
        principal = self._identity.remembered(request)
        client = f"user {principal.subject}" if principal is not None else self._address(request)
        wait_s = self._buckets.take(client, self._clock.monotonic())
        if wait_s > 0:
            raise TooManyRequests(
                f"More than {self._rate} came from this client", retry_after_s=math.ceil(wait_s)
            )

    def _address(self, request: Request) -> str:
        """The client's address: the peer's, or what trusted proxies say of it."""
        peer = request.connection.peer[0]
        if self._proxies:
            peer = self._proxies.origin(peer, request.headers.get("x-forwarded-for") or "")
        elif ":" not in peer:
            return peer
        return client_of(peer)
