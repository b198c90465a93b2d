"""One process as an operator sees it: a host with its doors. The edge for the public, the internal
listener for services of this system.

Start: the host, then the internal listener, then the edge. Stop: not ready, the edge drains, the
internal listener drains, the host stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from borough.clock import Clock, SystemClock
from borough.errors import ConfigurationError
from borough.gateway.edge import Edge, EdgeSettings, Handler, OwnDocuments
from borough.gateway.identity import EdgeIdentity
from borough.gateway.internal import InternalIdentity, ServiceTokens, is_loopback
from borough.gateway.keys import KeySet, OwnKeys, keys_at, keys_in
from borough.gateway.mutual_tls import proof_of
from borough.gateway.raw import RawMount
from borough.gateway.tokens import Issuer, OwnIssuer, TokenCheck
from borough.ports import Transport
from borough.runtime.host import Host, MakeTransport, make_folder
from borough.runtime.options import TokenOptions
from borough.runtime.system import System
from borough.services.identity import TokenIssuer
from borough.transports.http.client import Origin
from borough.transports.http.door import Door
from borough.transports.http.limits import ServerLimits
from borough.transports.http.remote import RemoteTransport
from borough.transports.http.server import HttpServer

__all__ = ["Mounts", "Process"]

_log = logging.getLogger("borough.host")

Mounts = Callable[["Process"], Mapping[str, Handler]]
"""Further handlers of the edge by path prefix, made once the host has started."""
_PAUSE_S = 0.25  # longer than a ready process takes to say so


class Process:
    """Runs a system in this process, with or without listeners (a port of None: no such listener)."""

    def __init__(
        self,
        system: System,
        *,
        clock: Clock | None = None,
        stand_ins: Mapping[type[Any], Any] | None = None,
        make_transport: MakeTransport | None = None,
        data_folder: Path | None = None,
        edge_port: int | None = None,
        internal_port: int | None = None,
        mounts: Mounts | None = None,
        calls: Literal["local", "wire"] = "local",
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.system = system
        folder = data_folder or system.configuration.data_folder
        self._edge_port = edge_port
        self._internal_port = internal_port
        self._mounts = mounts
        self._stand_ins = frozenset(stand_ins or ())
        tokens = system.configuration.options.edge.tokens
        self._uses_own_tokens = tokens.issuer == "own"
        self._keys = OwnKeys(folder / "keys", self.clock)
        self._own_issuer = OwnIssuer(system.name, self._keys, self.clock, audience=tokens.audience)
        internal = system.configuration.options.internal
        self.tokens = ServiceTokens(folder / "tokens", self.clock, internal.clear_text)
        self.proof = proof_of(system.configuration, self.tokens, self.clock)
        self._check = TokenCheck([self._issuer()], self.clock)
        self._identity = EdgeIdentity(self._check)
        self.host = Host(
            system,
            clock=self.clock,
            resources={TokenIssuer: lambda _service: self._own_issuer},
            stand_ins=stand_ins,
            make_transport=self.wire if calls == "wire" else make_transport,
            data_folder=folder,
        )
        self._refuse_idle_issuers(tokens.issuer)
        self.edge: Edge | None = None
        self.mounted: tuple[str, ...] = ()
        """The path prefixes of the further handlers."""
        self._edge_server: HttpServer | None = None
        self._internal_server: HttpServer | None = None
        self._preparing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the host and open the listeners. On a failure what was started is stopped again."""
        try:
            if self._edge_port is not None:
                self._pages()  # what must not be served is told before anything is made
            if self._internal_port is not None:
                self._refuse_clear_text()
                make_folder(self.host.data_folder)
                own, others = self._services()
                await asyncio.to_thread(self.proof.open, own, others)
            await self.host.start()
            if self._internal_port is not None:
                self._internal_server = await self._open_internal(self._internal_port)
            if self._edge_port is not None:
                self._edge_server = await self._open_edge(self._edge_port)
        except BaseException:
            try:
                await self.stop()
            except Exception:  # the first failure is the one to tell
                _log.exception("stopping after a failed start failed, too")
            raise
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        """Import PyJWT before the first token asks for it, once the start is over and announced."""
        await self.clock.sleep(_PAUSE_S)
        await self._check.prepare()
        if self._uses_own_tokens:
            await self._keys.open()

    def _services(self) -> tuple[set[str], set[str]]:
        """The services that are answered in this process, and all that there are."""
        plan = self.host.plan
        stood_in = {each.service for each in plan.absent.values() if each.cls in self._stand_ins}
        return stood_in | set(plan.services), {each.service for each in plan.contracts.values()}

    def _refuse_clear_text(self) -> None:
        """Where other machines reach the internal listener, it speaks TLS. Raises `ConfigurationError`."""
        internal = self.system.configuration.options.internal
        if internal.tls.is_on or is_loopback(internal.host):
            return
        if internal.clear_text != "anywhere":
            raise ConfigurationError(
                f"internal.host is {internal.host}, which other machines reach, and services would "
                "talk there in clear text: fill in [internal.tls] (`borough certs` makes "
                "certificates for development), listen on 127.0.0.1, or set internal.clear_text to "
                '"anywhere"'
            )
        _log.warning(
            "CLEAR TEXT: services talk on %s without TLS. Whoever can look into that network reads "
            "every call, speaks for every user and takes the place of every service. Fill in "
            "[internal.tls], and take internal.clear_text away",
            internal.host,
        )

    def _refuse_idle_issuers(self, issuer: str) -> None:
        """A service must not issue tokens that its own edge refuses. Raises `ConfigurationError`."""
        if self._uses_own_tokens:
            return
        for plan in self.host.plan.services.values():
            if TokenIssuer in plan.resources.values():
                raise ConfigurationError(
                    f"{plan.name} asks for a TokenIssuer, and edge.tokens.issuer is {issuer!r}: "
                    'the edge would refuse its tokens. Set edge.tokens.issuer to "own", '
                    f"or sign users in there and take the attribute out of {plan.name}"
                )

    def _issuer(self) -> Issuer:
        options: TokenOptions = self.system.configuration.options.edge.tokens
        if self._uses_own_tokens:
            return self._own_issuer.issuer()
        if options.jwks is None:
            raise ConfigurationError(
                f"edge.tokens.issuer is {options.issuer!r} and edge.tokens.jwks is missing; "
                "name the URL or the file of its key set"
            )
        is_url = options.jwks.startswith(("https://", "http://"))
        read = (
            keys_at(options.jwks)
            if is_url
            else keys_in(self.system.configuration.folder / options.jwks)
        )
        return Issuer(
            name=options.issuer,
            audience=options.audience or self.system.name,
            keys=KeySet(read, self.clock),
            algorithms=options.algorithms,
        )

    async def _open_internal(self, port: int) -> HttpServer:
        limits = self.system.configuration.options.limits
        door = Door(
            self.host.routes,
            InternalIdentity(self.proof, self.host.declared, self._identity),
            self.clock,
            strict=False,
            default_timeout_s=limits.default_timeout_s,
            longest_timeout_s=limits.longest_timeout_s,
        )
        edge = self.system.configuration.options.edge.limits
        own = ServerLimits()  # services share addresses, and are trusted with connections
        bounds = msgspec.structs.replace(
            own, body_bytes=edge.body_bytes, connections_per_address=own.connections
        )
        server = HttpServer(door.answer, bounds)
        host = self.system.configuration.options.internal.host
        await server.open(host, port, self.proof.listening())
        self.proof.begin()
        return server

    async def _open_edge(self, port: int) -> HttpServer:
        self.edge = self.make_edge()
        options = self.system.configuration.options.edge
        server = HttpServer(self.edge.answer, options.limits.for_server(), proxies=options.proxies)
        await server.open(options.host, port)
        return server

    def _pages(self) -> Path | None:
        """The folder of pages. Refuses one that would make keys, databases or code public."""
        options = self.system.configuration.options
        if not options.edge.pages:
            return None
        pages = self.system.configuration.folder / options.edge.pages
        if not pages.is_dir():
            raise ConfigurationError(f"edge.pages names {pages}, which is no folder")
        public = pages.resolve()
        data = self.host.data_folder.resolve()
        if data in public.parents:
            raise ConfigurationError(
                f"edge.pages names {pages}, which lies in the data folder {data}; "
                "name a folder that holds nothing but pages"
            )
        for kept in (data, self.system.configuration.folder.resolve()):
            if public == kept or public in kept.parents:
                raise ConfigurationError(
                    f"edge.pages names {pages}, which holds {kept}; "
                    "name a folder that holds nothing but pages"
                )
        return pages

    def make_edge(self) -> Edge:
        """The edge of this process without a listener, as `borough.asgi` serves it."""
        options = self.system.configuration.options
        settings = EdgeSettings(
            origins=options.edge.cors,
            credentials=options.edge.cors_credentials,
            rate=options.edge.rate_limit,
            proxies=options.edge.proxies,
            pages=self._pages(),
            default_timeout_s=options.limits.default_timeout_s,
            longest_timeout_s=options.limits.longest_timeout_s,
        )
        mounts: Mapping[str, Handler] = self._mounts(self) if self._mounts is not None else {}
        self.mounted = tuple(mounts)
        documents = OwnDocuments(
            describe=self.document,
            keys=self._keys.document if self._uses_own_tokens else None,
            states=self._states,
        )
        return Edge(
            self.host.routes,
            self._identity,
            self.clock,
            settings,
            documents=documents,
            mounts=mounts,
            raws=self._raws(),
        )

    def _raws(self) -> list[RawMount]:
        found: list[RawMount] = []
        for service in self.host.services.values():
            for mount in service.plan.mounts:
                app = getattr(service.instance, mount.method)()
                found.append(
                    RawMount(service.name, mount.path, mount.mark.allow, app, service.pool)
                )
        return found

    def document(self) -> dict[str, Any]:
        """The merged OpenAPI document of the public operations."""
        # Made when somebody asks, not at every start.
        from borough.contracts.descriptor import describe
        from borough.contracts.openapi import openapi

        facts = self.system.configuration.options.system
        descriptors = [describe(contract) for contract in self.host.contracts]
        return openapi(descriptors, title=facts.name, version=facts.version, public_only=True)

    def _states(self) -> dict[str, str]:
        return dict.fromkeys(self.host.plan.services, self.host.state)

    @property
    def edge_url(self) -> str:
        """Where the edge listens. Raises `ConfigurationError` where it has no listener."""
        return self._url("http", self._edge_server, self.system.configuration.options.edge.host)

    @property
    def internal_url(self) -> str:
        """Where the internal listener is. Raises `ConfigurationError` where there is none."""
        host = self.system.configuration.options.internal.host
        return self._url(self.proof.scheme, self._internal_server, host)

    def _url(self, scheme: str, server: HttpServer | None, host: str) -> str:
        if server is None:
            raise ConfigurationError("this process has no such listener")
        return f"{scheme}://{host}:{server.port}"

    @property
    def internal_origin(self) -> tuple[str, int]:
        """Host and port of the internal listener, for calls over the wire."""
        if self._internal_server is None:
            raise ConfigurationError("this process has no internal listener")
        return self.system.configuration.options.internal.host, self._internal_server.port

    def wire(self, _host: Host, caller: str) -> Transport:
        """The transport that sends every call of `caller` over HTTP to this very process."""

        def here(service: str) -> Origin:
            return self.proof.origin(service, *self.internal_origin)

        return RemoteTransport(self.proof.client(caller), here, self.clock)

    async def stop(self) -> None:
        """Drain the doors, then stop the host. Idempotent."""
        drain_s = self.system.configuration.options.limits.drain_s
        if self.host.state == "ready":
            self.host.state = "stopping"
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        for server in (self._edge_server, self._internal_server):
            if server is not None:
                await server.drain(drain_s)
        await self.proof.close()
        if self.edge is not None:
            await self.edge.close()
        await self._check.close()
        await self.host.stop()
        for server in (self._edge_server, self._internal_server):
            if server is not None:
                await server.close()
