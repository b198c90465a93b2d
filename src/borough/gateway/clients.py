"""Who a client is, where clients are counted: the signed-in subject, else the address.

A token that was not checked before counts against its address, so that checking forged ones is
limited too.
"""

from __future__ import annotations

from collections.abc import Sequence

from borough.gateway.identity import EdgeIdentity
from borough.transports.http.addresses import Proxies, client_of
from borough.transports.http.message import Request

__all__ = ["Clients"]


class Clients:
    """Tells clients apart."""

    def __init__(self, identity: EdgeIdentity, proxies: Sequence[str] = ()) -> None:
        """`proxies`: networks whose `X-Forwarded-For` is believed. Raises `ConfigurationError`."""
        self._identity = identity
        self._proxies = Proxies(proxies)

    def of(self, request: Request) -> str:
        """Under which name its client is counted."""
        principal = self._identity.remembered(request)
        return f"user {principal.subject}" if principal is not None else self._address(request)

    def _address(self, request: Request) -> str:
        """The client's address: the peer's, or what trusted proxies say of it."""
        peer = request.connection.peer[0]
        if self._proxies:
            peer = self._proxies.origin(peer, request.headers.get("x-forwarded-for") or "")
        elif ":" not in peer:
            return peer
        return client_of(peer)
