"""What an address of a peer counts as: a client of its own, part of a network, or a trusted proxy.

Addresses of IPv6 count per /64, which one customer has for itself; IPv4 inside IPv6 is IPv4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from borough.errors import ConfigurationError

__all__ = ["Proxies", "client_of"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_HOPS = 16
_UNIX = "unix"


class Proxies:
    """Networks of proxies whose word is believed."""

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Networks such as `10.0.0.0/8`, and `unix` for peers of a Unix socket. Raises `ConfigurationError`."""
        self._networks = [_network(text) for text in networks if text != _UNIX]
        self._has_nameless = _UNIX in networks

    def __bool__(self) -> bool:
        return bool(self._networks) or self._has_nameless

    def __contains__(self, peer: str) -> bool:
        if not peer:
            return self._has_nameless
        address = _parsed(peer) if self._networks else None
        return address is not None and any(address in network for network in self._networks)

    def origin(self, peer: str, forwarded: str) -> str:
        """Whose address is behind `peer`, by what proxies say in `X-Forwarded-For`."""
        return self.walked(peer, forwarded)[0]

    def walked(self, peer: str, forwarded: str) -> tuple[str, int]:
        """The address behind `peer`, without port and brackets, and how many proxies stand before it.

        What they say in `X-Forwarded-For` is read from the right, as far as it is believed.
        """
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()][-_MOST_HOPS:]
        proxies = 0
        while hops and peer in self:
            address = _parsed(hops.pop())
            if address is None:
                break
            peer, proxies = str(address), proxies + 1
        return peer, proxies


def client_of(peer: str) -> str:
    """Under which name an address is counted."""
    address = _parsed(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    return peer if address is None else str(address)


def _parsed(text: str) -> _Address | None:
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
