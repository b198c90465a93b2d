"""The public door of a fleet as a process of its own: it knows services by name, and none by its code.

Who takes calls is asked of `Discovery`, and what they publish of the replicas themselves. It proves
itself to them as `edge`, and is the public there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from borough.clock import Clock, SystemClock
from borough.ending import each_ended
from borough.errors import NotFound
from borough.gateway.forwarding import Forwarding
from borough.gateway.front import Front
from borough.gateway.internal import ServiceTokens
from borough.gateway.metrics_page import METRICS, MetricsPage
from borough.gateway.mutual_tls import proof_of
from borough.gateway.published import Published
from borough.gateway.segments import Handler
from borough.gateway.timeouts import Timeouts
from borough.observing.observer import Observer
from borough.ports import Discovery, Replica
from borough.runtime.configuration import Configuration
from borough.runtime.host import make_folder
from borough.runtime.recording import make_recorder
from borough.telemetry.measures import Point
from borough.transports.http import wire
from borough.transports.http.client import ClientResponse, HttpClient
from borough.transports.http.dependency import Dependencies

__all__ = ["EdgeMounts", "EdgeProcess"]

_log = logging.getLogger("borough.gateway")

EdgeMounts = Callable[["EdgeProcess"], Mapping[str, Handler]]
"""Further handlers of the edge by path prefix."""
_PUBLISHED_S = 1.0
"""How old the OpenAPI document may be."""
_ASK_S = 1.0
"""How long a replica may take to tell about itself."""
_LAST_WORDS_S = 2.0
_SHARE = 4
"""No service may hold more than this part of the connections that the public may have."""


class EdgeProcess:
    """Forwards what the public asks of `services`. `port` 0 takes a free one."""

    def __init__(
        self,
        configuration: Configuration,
        services: Sequence[str],
        discovery: Discovery,
        *,
        port: int,
        clock: Clock | None = None,
        data_folder: Path | None = None,
        mounts: EdgeMounts | None = None,
    ) -> None:
        self.configuration = configuration
        self.services = tuple(services)
        self.discovery = discovery
        self.clock: Clock = clock or SystemClock()
        self.recorder = make_recorder(configuration, self.clock)
        self.observer = Observer(
            configuration,
            self.recorder,
            self.clock,
            version_of=lambda _: "",
            points=self._measured,
        )
        self.mounted: tuple[str, ...] = ()
        """The path prefixes of the further handlers."""
        self.closing: list[Callable[[], Awaitable[None]]] = []
        """What further handlers let go of before the doors drain: a stream of theirs has no end of its own."""
        self._port = port
        self._mounts = mounts
        self.data_folder = data_folder or configuration.data_folder
        self._front = Front(configuration, self.clock, self.data_folder)
        tokens = ServiceTokens(
            self.data_folder / "tokens", self.clock, configuration.options.internal.clear_text
        )
        self.proof = proof_of(configuration, tokens, self.clock)
        self._forwarding: Forwarding | None = None
        self._asking: HttpClient | None = None

    async def start(self) -> None:
        """Open the listener. Raises `ConfigurationError`; what was begun is then ended again."""
        try:
            self._front.pages()  # what must not be served is told before anything is made
            make_folder(self.data_folder)
            await asyncio.to_thread(self.proof.open, [wire.EDGE])
            self.observer.start()
            await self._open()
        except BaseException:
            await self.stop()
            raise
        self._front.prepare()

    async def _open(self) -> None:
        options = self.configuration.options
        facts, limits = options.system, options.limits
        bounds = msgspec.structs.replace(
            limits.for_client(), connections_per_origin=limits.calls_in_flight + limits.streams
        )
        terms = msgspec.structs.replace(
            limits.for_dependency(),
            calls_in_flight=max(1, options.edge.limits.connections // _SHARE),
        )
        dependencies = Dependencies(
            self.discovery,
            lambda: self.proof.client(wire.EDGE, bounds),
            self.clock,
            terms,
            caller=wire.EDGE,
            place=self.proof.origin,
        )
        self._asking = self.proof.client(wire.EDGE)
        self._forwarding = Forwarding(
            self.services,
            dependencies,
            self._front.identity,
            self.clock,
            timeouts=Timeouts(limits.default_timeout_s, limits.longest_timeout_s),
            recorder=self.recorder,
        )
        published = Published(
            self.services, self.discovery, self.ask, title=facts.name, version=facts.version
        )
        mounts = dict(self._mounts(self)) if self._mounts is not None else {}
        if options.telemetry.public_metrics:
            mounts[METRICS] = MetricsPage(self.observer).answer
        self.mounted = tuple(mounts)
        edge = self._front.make_edge(
            self._forwarding,
            describe=published.document,
            describe_events=published.events,
            described_for_s=_PUBLISHED_S,
            states=self.states,
            mounts=mounts,
        )
        await self._front.listen(edge, self._port)
        self.proof.begin()

    async def _measured(self) -> AsyncIterator[Point]:
        for point in self.recorder.measures.points() if self.recorder is not None else ():
            yield point

    def states(self) -> dict[str, str]:
        """Each service with its state: `ready`, or `unavailable` while it has no replica."""
        return {
            name: "ready" if self.discovery.replicas(name) else "unavailable"
            for name in self.services
        }

    async def ask(
        self, service: str, replica: Replica, target: str, question: bytes | None = None
    ) -> ClientResponse:
        """What a replica of a service tells the edge about itself, asked by GET or, with a JSON
        `question`, by POST. Raises a `CallError`, `NotFound` for nothing."""
        assert self._asking is not None
        deadline = asyncio.get_running_loop().time() + _ASK_S
        origin = self.proof.origin(service, replica.host, replica.port)
        if question is None:
            answer = await self._asking.send(origin, "GET", target, (), b"", deadline, True)
        else:
            headers = ((b"content-type", b"application/json"),)
            answer = await self._asking.send(
                origin, "POST", target, headers, question, deadline, False
            )
        if answer.status != 200:
            raise NotFound(f"{replica.id} does not tell {target}")
        return answer

    @property
    def edge_url(self) -> str | None:
        """Where the public listener is; None before the start."""
        return self._front.url

    @property
    def requests(self) -> int:
        """How many requests have come for services."""
        return self._forwarding.requests if self._forwarding is not None else 0

    @property
    def failures(self) -> int:
        """None of its own: it answers what others have answered."""
        return 0

    @property
    def in_flight(self) -> int:
        """How many of them wait for their answer."""
        return self._forwarding.in_flight if self._forwarding is not None else 0

    async def stop_in_time(self) -> str | None:
        """Stop; nothing here can refuse to be stopped."""
        await self.stop()
        return None

    async def stop(self) -> None:
        """Take nothing new, finish what runs within `limits.drain_s`, then end it. Idempotent."""
        drain_s = self.configuration.options.limits.drain_s
        steps: list[Callable[[], Awaitable[None]]] = [
            *self.closing,
            lambda: self._front.drain(drain_s),
            self._front.close,
            self.proof.close,
        ]
        if self._asking is not None:
            steps.append(self._asking.close)
        steps.append(lambda: self.observer.stop(_LAST_WORDS_S))
        await each_ended(steps)
