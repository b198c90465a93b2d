"""Who calls at the internal door: services that prove themselves; they may call what they declared.

On this machine a service proves itself with the first request of a connection, by a token that lies
in a folder and only the system's processes may read; elsewhere by its certificate (mutual_tls.py).
The declaration is the permission. Without a proof only public operations answer, as at the edge.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from borough.clock import Clock
from borough.errors import ConfigurationError, Forbidden, Unauthenticated
from borough.gateway.identity import EdgeIdentity
from borough.gateway.secret_file import kept_secret
from borough.runtime.host import undeclared
from borough.services.settings import Secret
from borough.transports.http import wire
from borough.transports.http.client import HttpClient, Origin
from borough.transports.http.door import Identity, Route
from borough.transports.http.limits import ClientLimits, ServerLimits
from borough.transports.http.message import Request

__all__ = ["InternalIdentity", "Proof", "ServiceTokens", "inside_limits", "is_loopback"]

# The claims of a token of 8 KiB, beside that token; then a few short fields.
_ADDED_BYTES = 20 * 1024
_ADDED_FIELDS = 16
_UNREAD_S = 3600.0
"""So long a service may have enough to do with what it has read of a stream; an edge hurries its own clients."""
_PROOF = re.compile(r"[0-9a-f]{64}\Z")
_NOBODY = ""
"""Whom a connection speaks for whose proof did not count."""
_NOT_PROVEN = (
    "Borough-Proof does not prove the service that Borough-Service names; "
    "do both processes use the same data folder?"
)


class Proof(Protocol):
    """How the services of a system prove to each other who they are."""

    @property
    def scheme(self) -> str:
        """That of the internal listener's URL."""
        ...

    @property
    def how(self) -> str:
        """What a caller proves itself with, as the end of a sentence."""
        ...

    def open(self, own: Iterable[str], others: Iterable[str] = ()) -> None:
        """Have what the services of this process need; blocking. Raises `ConfigurationError`."""
        ...

    def listening(self, *, is_grpc: bool = False) -> ssl.SSLContext | None:
        """An internal listener's side of TLS; None for clear text. gRPC has HTTP/2 agreed on (ALPN)."""
        ...

    def caller(self, request: Request) -> str | None:
        """The service that has proven itself; None where none claims to. Raises `Unauthenticated`."""
        ...

    def client(self, caller: str, limits: ClientLimits | None = None) -> HttpClient:
        """A client that calls on account of a service of this process. Raises `ConfigurationError`."""
        ...

    def origin(self, service: str, host: str, port: int) -> Origin:
        """What to tell that client of the place where a service listens. Raises `ConfigurationError`."""
        ...

    def begin(self) -> None:
        """Follow what changes; needs a running loop."""
        ...

    async def close(self) -> None:
        """Follow no more. Idempotent."""
        ...


def inside_limits(body_bytes: int, held_bytes: int) -> ServerLimits:
    """What the internal listener takes: all that an edge takes, and what the edge of a fleet adds to it.

    Services share addresses, are trusted with connections, and take their time. `held_bytes` may only raise
    what it is here.
    """
    own = ServerLimits()
    return msgspec.structs.replace(
        own,
        body_bytes=body_bytes,
        held_bytes=max(own.held_bytes, held_bytes),
        connections_per_address=own.connections,
        unread_stream_s=_UNREAD_S,
        head_bytes=own.head_bytes + _ADDED_BYTES,
        fields=own.fields + _ADDED_FIELDS,
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address; a name other than `localhost` may be any."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServiceTokens:
    """The `Proof` in clear text: one token per service, 32 random bytes in `SERVICE.token`, made by
    whoever starts first. `clear_text` says how far tokens may travel."""

    scheme = "http"
    how = "with Borough-Service and Borough-Proof"

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        clear_text: Literal["loopback", "anywhere"] = "loopback",
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._clear_text = clear_text
        self._tokens: dict[str, bytes] = {}
        self._hidden: list[Secret] = []

    def open(self, own: Iterable[str], others: Iterable[str] = ()) -> None:
        """Have a token for each service; blocking, for the start. Raises `ConfigurationError`."""
        for service in sorted({*own, *others} - set(self._tokens)):
            path = self._folder / f"{service}.token"
            suffix = self._clock.token(8).hex()
            text = kept_secret(path, lambda: self._clock.token(32).hex().encode(), suffix).strip()
            if not _PROOF.match(text.decode("latin-1")):
                raise ConfigurationError(
                    f"{path} is no service token; remove it, and the next start makes one"
                )
            self._tokens[service] = text
            self._hidden.append(Secret(text.decode()))

    def first_headers(self, service: str) -> tuple[tuple[bytes, bytes], ...]:
        """What `service` sends with the first request of a connection."""
        return (
            (wire.SERVICE.encode(), service.encode()),
            (wire.PROOF.encode(), self._tokens[service]),
        )

    def proves(self, service: str, proof: str) -> bool:
        """Whether this is the service's token, compared in constant time."""
        # An unknown name is compared too, so that time does not tell which services there are.
        expected = self._tokens.get(service)
        given = proof.encode("latin-1", "replace")
        return hmac.compare_digest(expected or b"0" * 64, given) and expected is not None

    def caller(self, request: Request) -> str | None:
        """The service that has proven itself on this connection. Raises `Unauthenticated`."""
        connection = request.connection
        known: str | None = connection.caller
        claimed = request.headers.get(wire.SERVICE) if wire.SERVICE in request.headers.raw else None
        if claimed is None or claimed == known:
            if known == _NOBODY:  # it proves itself once, and what it asks next is not the public's
                raise Unauthenticated(_NOT_PROVEN)
            return known
        proof = request.headers.get(wire.PROOF)
        if proof is None or not self.proves(claimed, proof):
            connection.caller = _NOBODY
            raise Unauthenticated(_NOT_PROVEN)
        connection.caller = claimed
        return claimed

    def listening(self, *, is_grpc: bool = False) -> None:
        """Clear text."""

    def client(self, caller: str, limits: ClientLimits | None = None) -> HttpClient:
        """A client that calls on account of `caller`."""
        return HttpClient(limits, first_headers=self.first_headers(caller))

    def origin(self, service: str, host: str, port: int) -> Origin:
        """The same place. Raises `ConfigurationError` where a token would travel too far."""
        if self._clear_text == "loopback" and not is_loopback(host):
            raise ConfigurationError(
                f"services would talk to {service} at {host} in clear text, where others could listen; "
                "switch TLS on in [internal.tls]"
            )
        return host, port

    def begin(self) -> None:
        """Tokens do not change."""

    async def close(self) -> None:
        """Nothing is followed."""


class InternalIdentity:
    """The internal door's `Identify`. `declared`: the contracts, by wire name, a service calls.

    It is read at each call, so whoever made it may change it.
    """

    def __init__(
        self,
        proof: Proof,
        declared: Mapping[str, Collection[str]],
        edge: EdgeIdentity,
    ) -> None:
        self._proof = proof
        self._declared = declared
        self._edge = edge

    def __call__(self, request: Request, route: Route) -> Identity | Awaitable[Identity]:
        caller = self._proof.caller(request)
        if caller is None:
            operation = route.callee.operation
            if not operation.public:
                raise Unauthenticated(
                    f"{operation.wire_name} is internal: the calling service must prove itself "
                    f"{self._proof.how}"
                )
            return self._edge(request, route)
        if caller != route.service and route.contract not in self._declared.get(caller, ()):
            raise Forbidden(undeclared(caller, route.callee.operation.contract))
        headers = request.headers
        if wire.PRINCIPAL not in headers.raw:
            return Identity(caller, None)
        return Identity(caller, wire.read_principal(headers.get(wire.PRINCIPAL)))
