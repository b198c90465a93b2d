"""The way to a service elsewhere: one URL, and nothing of who we are.

Service tokens and end users are for services of the system; only the time left and the trace go out.
"""

from __future__ import annotations

import ipaddress
import ssl as tls
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import force_setattr

from borough.contracts.operation import Operation
from borough.errors import ConfigurationError
from borough.ports import Send, Transport
from borough.services.context import Call

__all__ = ["ExternalPlace", "ExternalTransport", "place_at"]


class ExternalPlace(msgspec.Struct, frozen=True):
    """Where a URL leads: host and port, over TLS or not, and the path below which everything lies."""

    host: str
    port: int
    is_secure: bool
    path: str
    query: str = ""

    @property
    def is_exposed(self) -> bool:
        """Whether others on the way could read what is sent."""
        return not self.is_secure and not _is_loopback(self.host)

    def ssl(self) -> Callable[[], tls.SSLContext] | None:
        """What checks the host's certificate, by the authorities that this machine trusts."""
        if not self.is_secure:
            return None
        context = tls.create_default_context()
        return lambda: context


_SECURE = frozenset({"https", "grpcs"})


def place_at(url: str, option: str, schemes: tuple[str, ...] = ("http", "https")) -> ExternalPlace:
    """Read a URL of one of these schemes. Raises `ConfigurationError`, which names `option`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    plain = url.isascii() and url.isprintable() and not set(url) & set(" {}")
    if parts.scheme not in schemes or not host or not plain:
        known = ", ".join(schemes[:-1])
        raise ConfigurationError(
            f"{option} is no URL of {known} or {schemes[-1]}; write https://HOST/PATH"
        )
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{option} holds a user or a password; give credentials by reference, in headers"
        )
    if parts.fragment:
        raise ConfigurationError(f"{option} has a fragment (#...); take it away")
    is_secure = parts.scheme in _SECURE
    usual = 443 if is_secure else 80
    return ExternalPlace(
        host, usual if port is None else port, is_secure, parts.path.rstrip("/"), parts.query
    )


class ExternalTransport:
    """The way to one service elsewhere, over `inner`, which knows where its host is.

    The URL's path stands for the service's name: `/pay/charges` is asked for as `/v1/charges`.
    """

    def __init__(self, inner: Transport, path: str) -> None:
        self._inner = inner
        self._path = path

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        there = copy(operation)
        below = operation.path.removeprefix(f"/{operation.contract.service}")
        there.path = self._path + below or "/"
        send = self._inner.bind(there)

        def send_out(arguments: Sequence[Any], call: Call) -> Any:
            force_setattr(call, "principal", None)  # each call is its own, and nobody else looks
            return send(arguments, call)

        return send_out

    async def close(self) -> None:
        """Close the connections."""
        await self._inner.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
