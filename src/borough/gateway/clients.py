"""Who a client is, where clients are counted: the signed-in subject, else the address.

A token that was not checked before counts against its address, so that checking forged ones is
limited too.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from borough.gateway.identity import EdgeIdentity
from borough.transports.http.addresses import Proxies, client_of
from borough.transports.http.message import Request

__all__ = ["Clients"]

_log = logging.getLogger("borough.gateway")


class Clients:
    """Tells clients apart."""

    def __init__(self, identity: EdgeIdentity, proxies: Sequence[str] = ()) -> None:
        """`proxies`: networks whose `X-Forwarded-For` is believed. Raises `ConfigurationError`."""
        self._identity = identity
        self._proxies = Proxies(proxies)
        self._has_told = False

    def of(self, request: Request) -> str:
        """Under which name its client is counted."""
        principal = self._identity.remembered(request)
        return f"user {principal.subject}" if principal is not None else self._address(request)

    def tell_of_proxy(self, request: Request) -> None:
        """Log, once, that who is refused for too much may stand for many: a proxy that nobody has named."""
        peer = request.connection.peer[0]
        if self._has_told or "x-forwarded-for" not in request.headers or peer in self._proxies:
            return
        if self._identity.remembered(request) is None:
            self._has_told = True
            _log.warning(
                "%s asks for too much, and says for whom (X-Forwarded-For); if it is a proxy of yours, "
                "name it in edge.proxies: all behind it count as one client",
                peer or "unix",
            )

    def _address(self, request: Request) -> str:
        """The client's address: the peer's, or what trusted proxies say of it."""
        peer = request.connection.peer[0]
        if self._proxies:
            peer = self._proxies.origin(peer, request.headers.get("x-forwarded-for") or "")
        elif ":" not in peer:
            return peer
        return client_of(peer)
