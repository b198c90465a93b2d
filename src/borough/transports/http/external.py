"""The client of a service elsewhere: one URL, its credentials, and nothing of who we are.

Service tokens and end users are for services of the system; only the time left and the trace go out.
"""

from __future__ import annotations

import ipaddress
import ssl as tls
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from borough.errors import ConfigurationError
from borough.transports.http import wire
from borough.transports.http.client import HttpClient
from borough.transports.http.limits import ClientLimits

__all__ = ["ExternalClient", "ExternalPlace", "place_at"]

Fields = Sequence[tuple[bytes, bytes]]
_TIME_LEFT = wire.TIMEOUT_MS.encode()


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

    def ssl(self) -> tls.SSLContext | None:
        """What checks the host's certificate, by the authorities that this machine trusts."""
        return tls.create_default_context() if self.is_secure else None


def place_at(url: str, option: str) -> ExternalPlace:
    """Read a URL. Raises `ConfigurationError`, which names `option`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise ConfigurationError(f"{option} is no URL of http or https; write https://HOST/PATH")
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{option} holds a user or a password; give credentials by reference, in headers"
        )
    if parts.fragment:
        raise ConfigurationError(f"{option} has a fragment (#...); take it away")
    is_secure = parts.scheme == "https"
    usual = 443 if is_secure else 80
    return ExternalPlace(
        host, usual if port is None else port, is_secure, parts.path.rstrip("/"), parts.query
    )


class ExternalClient(HttpClient):
    """Sends what is meant for `/SERVICE/...` to the place of that service, with its credentials."""

    def __init__(
        self,
        service: str,
        place: ExternalPlace,
        headers: Fields,
        limits: ClientLimits | None = None,
    ) -> None:
        super().__init__(limits, place.ssl())
        self._own = f"/{service}"
        self._place = place
        self._headers = tuple(headers)

    async def _exchange(
        self,
        origin: tuple[str, int],
        method: str,
        target: str,
        headers: Fields,
        body: bytes,
        deadline: float | None,
        idempotent: bool,
        is_streaming: bool = False,
    ) -> Any:
        kept = [
            field
            for field in headers
            if not field[0].startswith(b"borough-") or field[0] == _TIME_LEFT
        ]
        below = self._place.path + target.removeprefix(self._own)
        return await super()._exchange(
            origin,
            method,
            below if below.startswith("/") else f"/{below}",
            [*self._headers, *kept],
            body,
            deadline,
            idempotent,
            is_streaming,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
