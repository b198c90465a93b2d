"""Services that prove themselves by certificates, at both ends of a connection (mTLS).

Each service calls, and answers, with its own certificate; which one a process shows is chosen by the
name that the client asks for. Files that change are read anew for new connections; a connection
that stands goes on. A file that is broken changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakSet

from borough.clock import Clock
from borough.errors import ConfigurationError, Unauthenticated
from borough.gateway.credential import Credential, CredentialFiles, Stamp, read_credential
from borough.gateway.internal import Proof, ServiceTokens
from borough.gateway.spiffe import server_name, service_named_in, trust_domain
from borough.runtime.configuration import Configuration
from borough.transports.http.client import HttpClient, Origin
from borough.transports.http.handshakes import TellingHandshake, why_no_tls
from borough.transports.http.limits import ClientLimits
from borough.transports.http.message import Request

__all__ = ["ServiceCertificates", "proof_of"]

_log = logging.getLogger("borough.tls")
_LOOK_S = 2.0
"""How often the files are looked at."""
_LATE = 0.1
"""The part of its lifetime before the end of which a certificate should have been replaced."""
_QUIET_S = 10.0
"""How often a reason is told for which handshakes fail: anybody may cause them."""


def proof_of(configuration: Configuration, tokens: ServiceTokens, clock: Clock) -> Proof:
    """Certificates where `[internal.tls]` is filled in, else `tokens`. Raises `ConfigurationError`."""
    if configuration.options.internal.tls.is_on:
        return ServiceCertificates(configuration, clock)
    return tokens


class _Proven(NamedTuple):
    """What a connection remembers of its peer."""

    service: str
    until: float


class ServiceCertificates:
    """The `Proof` of a system whose `[internal.tls]` is filled in."""

    scheme = "https"
    how = "with a client certificate of its own"

    def __init__(self, configuration: Configuration, clock: Clock) -> None:
        """Raises `ConfigurationError` where an option is missing."""
        self._options = options = configuration.options.internal.tls
        self._folder = configuration.folder
        self._clock = clock
        if options.ca is None or options.certificate is None:
            lacking = "ca" if options.ca is None else "certificate"
            raise ConfigurationError(
                f"internal.tls.{lacking} is missing; [internal.tls] needs ca and certificate, and "
                "key where it lies in a file of its own"
            )
        self._ca, self._certificate = options.ca, options.certificate
        self._key = options.key or options.certificate
        self.domain = trust_domain(configuration.options.system.name, options.trust_domain)
        self._held: dict[str, Credential] = {}
        self._stamps: dict[str, Stamp] = {}
        self._clients: dict[str, WeakSet[HttpClient]] = {}
        self._told: dict[str, float] = {}
        self._watching: asyncio.Task[None] | None = None

    def open(self, own: Iterable[str], others: Iterable[str] = ()) -> None:
        """Read the certificates of the services `own`; those of others are shown by them.

        Blocking, for the start. Raises `ConfigurationError`.
        """
        names = sorted(own)
        if len(names) > 1 and "{service}" not in self._certificate:
            raise ConfigurationError(
                f"internal.tls.certificate names one file for {', '.join(names)}; each service has "
                "a certificate of its own: write {service} into the path"
            )
        for service in names:
            files = self._files(service)
            self._stamps[service] = files.stamp()
            self._held[service] = read_credential(files, self.domain, service)

    def _files(self, service: str) -> CredentialFiles:
        paths = (self._ca, self._certificate, self._key)
        return CredentialFiles(
            *(self._folder / path.replace("{service}", service) for path in paths)
        )

    def _credential(self, service: str) -> Credential:
        held = self._held.get(service)
        if held is None:
            raise ConfigurationError(
                f"{service} does not run in this process, which so has no certificate of it"
            )
        return held

    # --- the listening end -----------------------------------------------------------------------

    def listening(self, *, is_grpc: bool = False) -> ssl.SSLContext:
        """See `Proof`."""
        tell = self._tell

        class ListeningHandshake(TellingHandshake):
            def failed(self, error: ssl.SSLError) -> None:
                tell(why_no_tls(error))

        # This one begins a handshake; certificate and CA come from the one that it hands over to.
        front = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        front.verify_mode = ssl.CERT_REQUIRED
        front.minimum_version = ssl.TLSVersion.TLSv1_2
        front.options |= ssl.OP_NO_TICKET
        front.num_tickets = 0
        front.sslobject_class = ListeningHandshake
        if is_grpc:
            front.set_alpn_protocols(["h2"])

        def hand_over(handshake: ssl.SSLObject, asked: str | None, _: ssl.SSLContext) -> None:
            held = self._asked_for(asked)
            handshake.context = held.grpc if is_grpc else held.listening

        front.sni_callback = hand_over
        return front

    def _asked_for(self, name: str | None) -> Credential:
        """That of the service that a client asks for; for other names, of the first of this process."""
        service = (name or "").removesuffix(f".{self.domain}")
        return self._held.get(service) or next(iter(self._held.values()))

    def _tell(self, reason: str) -> None:
        """Log why a handshake failed, unless that was said a moment ago."""
        now = self._clock.monotonic()
        if now - self._told.get(reason, float("-inf")) >= _QUIET_S:
            self._told[reason] = now
            _log.warning("a connection to the internal listener was refused: %s", reason)

    def caller(self, request: Request) -> str:
        """The service that the connection's certificate is for. Raises `Unauthenticated`."""
        connection = request.connection
        proven = connection.caller
        if proven is None:
            certificate = connection.certificate or {}
            try:
                service = service_named_in(certificate, self.domain)
            except ValueError as error:
                self._tell(f"the certificate of the other side does not count: {error}")
                raise Unauthenticated(
                    f"The certificate of the calling service does not count: {error}"
                ) from None
            until = float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))
            connection.caller = proven = _Proven(service, until)
        if self._clock.epoch_s() >= proven.until:
            raise Unauthenticated(
                f"The certificate with which {proven.service} opened this connection has expired"
            )
        known: str = proven.service
        return known

    # --- the calling end -------------------------------------------------------------------------

    def client(self, caller: str, limits: ClientLimits | None = None) -> HttpClient:
        """A client that calls on account of `caller`. Raises `ConfigurationError`."""
        self._credential(caller)
        client = HttpClient(limits, ssl=lambda: self._credential(caller).calling)
        self._clients.setdefault(caller, WeakSet()).add(client)
        return client

    def origin(self, service: str, host: str, port: int) -> Origin:
        """Where `client` finds the service, and what it has to prove there."""
        return host, port, server_name(self.domain, service)

    # --- files that change -----------------------------------------------------------------------

    def begin(self) -> None:
        """Look at the files from now on."""
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Look no more. Idempotent."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            for service in await asyncio.to_thread(self._look):
                for client in self._clients.get(service, ()):
                    client.renew()

    def _look(self) -> list[str]:
        """Read what has changed; blocking. Returns the services that have another certificate now."""
        renewed: list[str] = []
        for service in self._held:
            files = self._files(service)
            stamp = files.stamp()
            if stamp != self._stamps[service]:
                self._stamps[service] = stamp
                try:
                    self._held[service] = read_credential(files, self.domain, service)
                except ConfigurationError as error:
                    _log.error("%s goes on with the certificate it has: %s", service, error)
                else:
                    renewed.append(service)
                    _log.info("%s has another certificate, until %s", service, self._end(service))
        self._tell_late()
        return renewed

    def _tell_late(self) -> None:
        now = self._clock.epoch_s()
        for service, held in self._held.items():
            if held.expires - now < _LATE * (held.expires - held.begins):
                reason = f"the certificate of {service} expires at {self._end(service)}"
                if reason not in self._told:
                    self._told[reason] = self._clock.monotonic()
                    _log.warning("%s, and then nobody talks to it; renew it", reason)

    def _end(self, service: str) -> str:
        return f"{datetime.fromtimestamp(self._held[service].expires, UTC):%Y-%m-%d %H:%M:%S} UTC"
