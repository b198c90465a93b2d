"""One process as an operator sees it: a host with its doors. The edge for the public, the internal
listener for services of this system.

Start: the host, then the internal listener, then the edge. Stop: not ready, the edge drains, the
internal listener drains, the host stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from borough.clock import Clock, SystemClock
from borough.ending import each_ended
from borough.errors import ConfigurationError
from borough.gateway.documents import Document, Probes, described, encoded
from borough.gateway.edge import Edge
from borough.gateway.forwarded import ForwardedIdentity, InternalDoors
from borough.gateway.front import Front
from borough.gateway.grpc_extra import make_grpc_doors
from borough.gateway.hello import APPLICATIONS, HelloPage
from borough.gateway.identity import PublicIdentity
from borough.gateway.internal import InternalIdentity, ServiceTokens, inside_limits, is_loopback
from borough.gateway.metrics_page import METRICS, MetricsPage
from borough.gateway.mutual_tls import proof_of
from borough.gateway.public import PublicDoor
from borough.gateway.raw import RawLimits, RawMount
from borough.gateway.segments import Handler
from borough.gateway.timeouts import Timeouts
from borough.observing.gathering import points_of
from borough.observing.observer import Observer
from borough.ports import Discovery, Replica, Transport
from borough.reliability.waiting_line import LineTerms
from borough.runtime.applications import Application
from borough.runtime.discovery import Directory
from borough.runtime.host import Host, MakeTransport, make_folder
from borough.runtime.proto_locks import proto_files
from borough.runtime.system import System
from borough.services.identity import TokenIssuer
from borough.transports.http import wire
from borough.transports.http.dependency import Dependencies
from borough.transports.http.door import Door
from borough.transports.http.entrance import EntranceLimits, Entrances
from borough.transports.http.greeting import Greeting
from borough.transports.http.message import Request, Response
from borough.transports.http.remote import RemoteTransport
from borough.transports.http.server import HttpServer
from borough.transports.nearest import NearestTransport

if TYPE_CHECKING:
    from borough.gateway.grpc_doors import GrpcDoors

__all__ = ["Mounts", "Process"]

_log = logging.getLogger("borough.host")

Mounts = Callable[["Process"], Mapping[str, Handler]]
"""Further handlers, made once the host has started: of the edge by path prefix, or, by path, what the
process tells the edge of a fleet about itself."""
_STAGES = 3  # the edge, the internal listener, the events: each has its own drain
_CLOSING_S = 5.0
_LAST_WORDS_S = 2.0
"""How long telemetry may take to be handed on when all else has ended."""


class Process:
    """Runs a system in this process, with or without listeners (a port of None: no such listener)."""

    def __init__(
        self,
        system: System,
        *,
        clock: Clock | None = None,
        stand_ins: Mapping[type[Any], Any] | None = None,
        make_transport: MakeTransport | Literal["wire"] | None = None,
        data_folder: Path | None = None,
        edge_port: int | None = None,
        internal_port: int | None = None,
        mounts: Mounts | None = None,
        tells: Mounts | None = None,
        declared: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Each parameter is what a way to run a system chooses: alone, in a fleet, apart, or in a test.

        `make_transport="wire"` sends every call over HTTP to this very process. `declared` says what
        the services of other processes call, read at each call; by default only what runs here may
        call here."""
        self.clock: Clock = clock or SystemClock()
        self.system = system
        folder = data_folder or system.configuration.data_folder
        self._edge_port = edge_port
        self._internal_port = internal_port
        self._mounts = mounts
        self._tells = tells
        self._declared = declared
        self.front = Front(system.configuration, self.clock, folder)
        internal = system.configuration.options.internal
        self.tokens = ServiceTokens(folder / "tokens", self.clock, internal.clear_text)
        self.proof = proof_of(system.configuration, self.tokens, self.clock)
        self._stand_ins = frozenset(stand_ins or ())
        self.host = Host(
            system,
            clock=self.clock,
            resources={TokenIssuer: lambda _service: self.front.own_issuer},
            stand_ins=stand_ins,
            make_transport=self.wire if make_transport == "wire" else make_transport,
            data_folder=folder,
            declared_apart=declared,
        )
        self._refuse_idle_issuers()
        self.observer = Observer(
            system.configuration,
            self.host.recorder,
            self.clock,
            version_of=system.version_of,
            points=lambda: points_of(self.host, self.entrances),
        )
        self.mounted: tuple[str, ...] = ()
        """The path prefixes of the further handlers."""
        self.closing: list[Callable[[], Awaitable[None]]] = []
        """What further handlers let go of before the doors drain: a stream of theirs has no end of its own."""
        self.entrances = self._make_entrances()
        self.grpc = make_grpc_doors(system.configuration, self.clock, self.entrances)
        self._public: PublicDoor | None = None
        self._internal_server: HttpServer | None = None
        self._internal_door: Door | None = None
        self._directory = Directory()
        self.greeting = Greeting(lambda: self.host.plan.contracts.values())

    async def start(self) -> None:
        """Start the host and open the listeners. On a failure what was started is stopped again."""
        try:
            if self._edge_port is not None:
                self.front.pages()  # what must not be served is told before anything is made
            if self._internal_port is not None:
                self._refuse_clear_text()
                make_folder(self.host.data_folder)
                own, others = self._services()
                await asyncio.to_thread(self.proof.open, own, {wire.EDGE, *others})
            self.observer.start()
            await self.host.start()
            if self._internal_port is not None:
                self._internal_server = await self._open_internal(self._internal_port)
            if self._edge_port is not None:
                await self.front.listen(self.make_edge(), self._edge_port, self.entrances)
            if self.grpc is not None and (self._edge_port, self._internal_port) != (None, None):
                await self._open_grpc(self.grpc, self._internal_door)
        except BaseException:
            try:
                await self.stop()
            except Exception:  # the first failure is the one to tell
                _log.exception("stopping after a failed start failed, too")
            raise
        if self._declared is None or self._issues_tokens() or self.grpc is not None:
            self.front.prepare()  # elsewhere the door of the fleet reads the tokens

    async def _open_grpc(self, grpc: GrpcDoors, internal: Door | None) -> None:
        """The gRPC listeners that borough.toml asks for, beside those of HTTP."""
        options = self.system.configuration.options
        files = await asyncio.to_thread(proto_files, self.host.contracts)
        routes = self.host.routes
        server = self._internal_server
        if options.grpc.internal_port is not None and internal is not None and server is not None:
            ssl = self.proof.listening(is_grpc=True)
            await grpc.open_internal(internal, ssl, files, routes, server.bounds)
        if options.grpc.port is not None:
            door = self._public_door(self.front.identity, ()).door
            await grpc.open_public(door, self.front, files, routes)

    def _services(self) -> tuple[set[str], set[str]]:
        """The services that are answered in this process, and all that there are."""
        plan = self.host.plan
        stood_in = {each.service for each in plan.absent.values() if each.cls in self._stand_ins}
        others = {each.service for each in plan.contracts.values()}
        return stood_in | set(plan.services), {*others, *(self._declared or ())}

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

    def _refuse_idle_issuers(self) -> None:
        """A service must not issue tokens that its own edge refuses. Raises `ConfigurationError`."""
        if self.front.uses_own_tokens:
            return
        issuer = self.system.configuration.options.edge.tokens.issuer
        for plan in self.host.plan.services.values():
            if TokenIssuer in plan.resources.values():
                raise ConfigurationError(
                    f"{plan.name} asks for a TokenIssuer, and edge.tokens.issuer is {issuer!r}: "
                    'the edge would refuse its tokens. Set edge.tokens.issuer to "own", '
                    f"or sign users in there and take the attribute out of {plan.name}"
                )

    def _issues_tokens(self) -> bool:
        plans = self.host.plan.services.values()
        return any(TokenIssuer in plan.resources.values() for plan in plans)

    def _make_entrances(self) -> Entrances:
        limits = self.system.configuration.options.limits
        bounds = EntranceLimits(
            most=limits.calls_in_flight,
            least=limits.calls_in_flight_least,
            line=LineTerms(
                burst=limits.burst_waiting,
                burst_s=limits.burst_s,
                most=limits.calls_waiting,
                wait_s=limits.calls_waiting_s,
            ),
            default_timeout_s=limits.default_timeout_s,
            longest_timeout_s=limits.longest_timeout_s,
        )
        names = [*self.host.plan.services, *self.host.plan.absent_services]
        return Entrances(names, bounds, self.clock)

    async def _open_internal(self, port: int) -> HttpServer:
        limits = self.system.configuration.options.limits
        declared = self.host.declared if self._declared is None else self._declared
        identity = InternalIdentity(self.proof, declared, self.front.identity)
        facts = self.system.configuration.options.system
        tells: dict[str, Handler] = dict(self._tells(self)) if self._tells is not None else {}
        raws = self._raws()
        others = self._applications_documents(raws)
        if others is not None:
            tells[APPLICATIONS] = Document(encoded(others), self.clock).answer
        hello = HelloPage(
            facts.name,
            {name: self.system.version_of(name) for name in self.host.plan.services},
            self.host.contracts,
            self.proof.caller,
            self.clock,
            tells=tells,
        )
        self._internal_door = door = Door(
            self.host.routes,
            identity,
            self.clock,
            strict=False,
            default_timeout_s=limits.default_timeout_s,
            longest_timeout_s=limits.longest_timeout_s,
            otherwise=self._about_itself(hello),
            recorder=self.host.recorder,
        )
        self._public = self._public_door(ForwardedIdentity(), raws)
        doors = InternalDoors(self.proof.caller, door, self._public, hello.answer)
        edge = self.system.configuration.options.edge.limits
        server = HttpServer(
            doors.answer,
            inside_limits(edge.body_bytes, edge.held_bytes),
            self.clock,
            entrances=self.entrances,
            is_inside=True,
            mark=doors.refused,
        )
        host = self.system.configuration.options.internal.host
        await server.open(host, port, self.proof.listening())
        self.proof.begin()
        itself = Replica("itself", host, server.port)
        names = {contract.service for contract in self.host.contracts}
        self._directory.update({name: [itself] for name in names})
        return server

    def _about_itself(self, hello: HelloPage) -> Callable[[Request], Awaitable[Response | None]]:
        """What the internal listener answers where no operation does: probes, and the hello."""
        probes = Probes(self._states)
        pages: dict[str, Handler] = {
            "/livez": probes.live,
            "/readyz": probes.ready,
            METRICS: MetricsPage(self.observer).answer,
        }

        async def answer(request: Request) -> Response | None:
            probe = pages.get(request.path)
            return await (hello.answer(request) if probe is None else probe(request))

        return answer

    def make_edge(self) -> Edge:
        """The edge of this process without a listener, as `borough.asgi` serves it."""
        mounts = dict(self._mounts(self)) if self._mounts is not None else {}
        if self.system.configuration.options.telemetry.public_metrics:
            mounts[METRICS] = MetricsPage(self.observer).answer
        self.mounted = tuple(mounts)
        raws = self._raws()
        return self.front.make_edge(
            self._public_door(self.front.identity, raws),
            describe=described(self.document, self._applications_documents(raws)),
            describe_events=described(self.events_document),
            states=self._states,
            mounts=mounts,
        )

    def _public_door(self, identity: PublicIdentity, raws: Sequence[RawMount]) -> PublicDoor:
        options = self.system.configuration.options
        limits = options.limits
        return PublicDoor(
            self.host.routes,
            identity,
            self.clock,
            raws=raws,
            timeouts=Timeouts(limits.default_timeout_s, limits.longest_timeout_s),
            raw_limits=RawLimits(
                streams=limits.streams,
                after_answers=limits.after_answers,
                after_answer_s=limits.after_answer_s,
            ),
            recorder=self.host.recorder,
            proxies=options.edge.proxies,
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

    def _applications_documents(
        self, raws: Sequence[RawMount]
    ) -> Callable[[], Awaitable[Sequence[Any]]] | None:
        """What asks the plain applications for their documents; None where there are none."""
        services = self.host.services
        asked = [raw for raw in raws if isinstance(services[raw.service].instance, Application)]
        if not asked:
            return None

        async def others() -> Sequence[Any]:
            from borough.gateway.own_documents import documents_of

            return await documents_of(asked)

        return others

    def document(self) -> dict[str, Any]:
        """The merged OpenAPI document of the public operations."""
        # Made when somebody asks, not at every start.
        from borough.contracts.descriptor import describe
        from borough.contracts.openapi import openapi

        facts = self.system.configuration.options.system
        descriptors = [describe(contract) for contract in self.host.contracts]
        return openapi(descriptors, title=facts.name, version=facts.version, public_only=True)

    def events_document(self) -> dict[str, Any]:
        """The merged AsyncAPI document of the public contracts' events."""
        from borough.contracts.asyncapi import asyncapi
        from borough.contracts.descriptor import describe

        facts = self.system.configuration.options.system
        descriptors = [describe(contract) for contract in self.host.contracts]
        return asyncapi(descriptors, title=facts.name, version=facts.version, public_only=True)

    def _states(self) -> dict[str, str]:
        return dict.fromkeys(self.host.plan.services, self.host.state)

    @property
    def edge_url(self) -> str:
        """Where the edge listens. Raises `ConfigurationError` where it has no listener."""
        return _there(self.front.url)

    @property
    def internal_url(self) -> str:
        """Where the internal listener is. Raises `ConfigurationError` where there is none."""
        server, host = self._internal_server, self.system.configuration.options.internal.host
        return _there(None if server is None else f"{self.proof.scheme}://{host}:{server.port}")

    @property
    def internal_origin(self) -> tuple[str, int]:
        """Host and port of the internal listener, for calls over the wire."""
        if self._internal_server is None:
            raise ConfigurationError("this process has no internal listener")
        return self.system.configuration.options.internal.host, self._internal_server.port

    def wire(self, _host: Host, caller: str) -> Transport:
        """The transport that sends every call of `caller` over HTTP to this very process."""
        return self._remote(self._directory, caller)

    def nearest(self, discovery: Discovery, caller: str) -> Transport:
        """The transport that calls in this process where that answers, and else whom `discovery` knows."""
        return NearestTransport(self.host.callees, self._remote(discovery, caller))

    def _remote(self, discovery: Discovery, caller: str) -> RemoteTransport:
        """Raises `ConfigurationError` where the caller cannot prove itself."""
        limits = self.system.configuration.options.limits
        return RemoteTransport(
            Dependencies(
                discovery,
                lambda: self.proof.client(caller, limits.for_client()),
                self.clock,
                limits.for_dependency(),
                caller=caller,
                greet=self.greeting.greet,
                place=self.proof.origin,
                recorder=self.host.recorder,
            ),
            self.host.recorder,
        )

    @property
    def requests(self) -> int:
        """How many requests its listeners have been asked since the start."""
        inside = self._internal_server.requests if self._internal_server is not None else 0
        by_grpc = self.grpc.requests if self.grpc is not None else 0
        return self.front.requests + inside + by_grpc

    @property
    def failures(self) -> int:
        """How many requests of services were answered with a 5xx since the start."""
        by_grpc = self.grpc.failures if self.grpc is not None else 0
        by_http = self._internal_server.failures if self._internal_server is not None else 0
        return by_grpc + by_http

    @property
    def in_flight(self) -> int:
        """How many calls are at work, open streams included."""
        gates = {callee.gate for callee in self.host.callees.values()}
        return sum(gate.in_flight + gate.streams for gate in gates)

    async def stop_in_time(self) -> str | None:
        """Stop; says what does not let itself be stopped, once patience has ended."""
        drain_s = self.system.configuration.options.limits.drain_s
        patience_s = _STAGES * drain_s + _CLOSING_S
        stopping = asyncio.ensure_future(self.stop())
        done, _ = await asyncio.wait([stopping], timeout=patience_s)
        if not done:
            gates = {name: callee.gate for name, callee in self.host.callees.items()}
            busy = [name for name, gate in gates.items() if gate.in_flight or gate.streams]
            what = ", ".join(busy) or "an event handler or a schedule"
            return f"not stopped after {patience_s:g} s; left behind in a service of: {what}"
        await stopping
        return None

    async def stop(self) -> None:
        """Drain the doors, then stop the host. Idempotent. What fails keeps nothing else from its end."""
        if self.host.state == "ready":
            self.host.state = "stopping"
        grpc, server, public = self.grpc, self._internal_server, self._public
        drain_public = None if grpc is None else grpc.drain_public
        drain_internal = None if grpc is None else grpc.drain_internal
        steps: list[Callable[[], Awaitable[None]]] = [
            *self.closing,
            lambda: self._drain(self.front.drain, drain_public),
            lambda: self._drain(None if server is None else server.drain, drain_internal),
            self.proof.close,
        ]
        if public is not None:
            steps.append(public.close)
        steps += [self.front.close, self.host.stop]
        if server is not None:
            steps.append(server.close)
        steps.append(lambda: self.observer.stop(_LAST_WORDS_S))
        await each_ended(steps)

    async def _drain(self, *drains: Callable[[float], Awaitable[None]] | None) -> None:
        """Drain listeners that stand beside each other."""
        drain_s = self.system.configuration.options.limits.drain_s
        await asyncio.gather(*(drain(drain_s) for drain in drains if drain is not None))


def _there(url: str | None) -> str:
    if url is None:
        raise ConfigurationError("this process has no such listener")
    return url
