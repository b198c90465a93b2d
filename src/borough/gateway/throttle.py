"""How often one client may ask: counted per signed-in subject, else per address.

A token that was not checked before counts against its address, so that checking forged ones is
limited too. Addresses of IPv6 count per /64, which one customer has for itself.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence

from borough.clock import Clock
from borough.errors import ConfigurationError, TooManyRequests
from borough.gateway.identity import EdgeIdentity
from borough.reliability.rate import Buckets, read_rate
from borough.transports.http.message import Request

__all__ = ["Throttle"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
        self._proxies = [_network(text) for text in proxies]

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
        """The client's address: the peer's, or what trusted proxies say of it, from the right."""
        peer = request.connection.peer[0]
        if self._proxies:
            forwarded = request.headers.get("x-forwarded-for") or ""
            hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()][-16:]
            while hops and self._is_proxy(peer) and _parsed(hops[-1]) is not None:
                peer = hops.pop()
        elif ":" not in peer:
            return peer
        address = _parsed(peer)
        if isinstance(address, ipaddress.IPv6Address):
            return str(ipaddress.IPv6Network((address, 64), strict=False))
        return peer if address is None else str(address)

    def _is_proxy(self, peer: str) -> bool:
        address = _parsed(peer)
        return address is not None and any(address in network for network in self._proxies)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address as it stands in a peer or a header: with a port, in brackets, or IPv4 inside IPv6."""
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped if mapped is not None else address


def _network(text: str) -> _Network:
    try:
        network = ipaddress.ip_network(text)
        if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
            mapped = network.network_address.ipv4_mapped
            if mapped is not None:  # addresses are compared in their IPv4 form, and so is this
                return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
        return network
    except ValueError as error:
        raise ConfigurationError(
            f'{text!r} is no network of proxies ({error}); write it like "10.0.0.0/8"'
        ) from None
