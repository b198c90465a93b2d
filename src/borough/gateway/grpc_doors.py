"""gRPC beside HTTP: a listener for the public and one for services, each with the door that HTTP has there.

The public one has the edge's rate, tokens and permissions; the internal one takes its callers as the
internal listener does, by token or by certificate. Each process that runs services has its own.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Sequence

from borough.clock import Clock
from borough.contracts.proto import ProtoFile
from borough.errors import ConfigurationError
from borough.gateway.front import Front
from borough.runtime.configuration import Configuration
from borough.transports.grpc.door import GrpcDoor
from borough.transports.grpc.limits import GrpcLimits
from borough.transports.grpc.offer import Offer
from borough.transports.grpc.server import GrpcServer
from borough.transports.http.bounds import Bounds
from borough.transports.http.door import Door, Route
from borough.transports.http.entrance import Entrances

__all__ = ["GrpcDoors"]


class GrpcDoors:
    """The gRPC listeners of one process, for the contracts that it answers."""

    def __init__(self, configuration: Configuration, clock: Clock, entrances: Entrances) -> None:
        self._configuration = configuration
        self._options = configuration.options.grpc
        self._clock = clock
        self._entrances = entrances
        self.public: GrpcServer | None = None
        self.internal: GrpcServer | None = None

    async def open_public(
        self,
        door: Door,
        front: Front,
        files: Sequence[ProtoFile],
        routes: Sequence[Route],
    ) -> None:
        """Serve what of these contracts is public, counted with what comes to `front`.

        Raises `ConfigurationError`.
        """
        ssl = await asyncio.to_thread(self._public_context)
        shown = [file.public() for file in files]
        asked = GrpcDoor(
            door,
            self._clock,
            entrances=self._entrances,
            check_rate=front.rate(),
            hold_stream=front.streams(),
        )
        self.public = self._server(asked, shown, routes, front.bounds())
        await self.public.open(self._options.host, self._options.port or 0, ssl)

    async def open_internal(
        self,
        door: Door,
        ssl: tls.SSLContext | None,
        files: Sequence[ProtoFile],
        routes: Sequence[Route],
        bounds: Bounds,
    ) -> None:
        """Serve these contracts to services. Raises `ConfigurationError`."""
        asked = GrpcDoor(door, self._clock, entrances=self._entrances, is_inside=True)
        self.internal = self._server(asked, files, routes, bounds)
        host = self._configuration.options.internal.host
        await self.internal.open(host, self._options.internal_port or 0, ssl)

    def _server(
        self,
        door: GrpcDoor,
        files: Sequence[ProtoFile],
        routes: Sequence[Route],
        bounds: Bounds,
    ) -> GrpcServer:
        limits = self._configuration.options.edge.limits
        offer = Offer(
            [file for file in files if file.methods], {route.name: route for route in routes}
        )
        return GrpcServer(
            door,
            offer,
            GrpcLimits(
                message_bytes=limits.body_bytes,
                streams=self._options.streams,
                write_idle_s=limits.write_idle_s,
                keep_alive_s=limits.keep_alive_s,
                handshake_s=limits.header_s,
            ),
            bounds,
        )

    def _public_context(self) -> tls.SSLContext | None:
        options, folder = self._options, self._configuration.folder
        if options.certificate is None:
            if options.key is not None:
                raise ConfigurationError(
                    "grpc.key is set and grpc.certificate is not; name both, or neither for clear text"
                )
            return None
        certificate = folder / options.certificate
        key = folder / options.key if options.key else certificate
        context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        context.minimum_version = tls.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (tls.SSLError, OSError, ValueError) as error:
            reason = (
                getattr(error, "reason", None) or getattr(error, "strerror", None) or "not read"
            )
            raise ConfigurationError(
                f"{certificate} and {key}, which [grpc] names, are no certificate and its key in PEM, "
                f"without a password ({reason.lower().replace('_', ' ')}); mend the files"
            ) from None
        return context

    @property
    def addresses(self) -> tuple[str, ...]:
        """Host and port of each listener, the public one first."""
        places = (
            (self.public, self._options.host),
            (self.internal, self._configuration.options.internal.host),
        )
        return tuple(
            f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
            for server, host in places
            if server is not None
        )

    @property
    def requests(self) -> int:
        """How many calls have come since the start."""
        servers = [server for server in (self.public, self.internal) if server is not None]
        return sum(server.requests for server in servers)

    @property
    def failures(self) -> int:
        """How many calls of services failed by our fault since the start."""
        return 0 if self.internal is None else self.internal.failures

    async def drain_public(self, seconds: float) -> None:
        """Take no new call of the public, finish what runs within `seconds`. Idempotent."""
        if self.public is not None:
            await self.public.drain(seconds)

    async def drain_internal(self, seconds: float) -> None:
        """The same for services."""
        if self.internal is not None:
            await self.internal.drain(seconds)
