"""The public side of a process: whose tokens count, which pages are served, the edge, its listener.

What stands behind the edge, services in this process or a fleet of others, is handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.gateway.identity import EdgeIdentity
from borough.gateway.key_server import keys_at
from borough.gateway.keys import KeySet, OwnKeys, keys_in
from borough.gateway.segments import Handler
from borough.gateway.tokens import Issuer, OwnIssuer, TokenCheck
from borough.runtime.configuration import Configuration
from borough.transports.http.bounds import Bounds
from borough.transports.http.entrance import Entrances
from borough.transports.http.message import Request
from borough.transports.http.server import HttpServer

if TYPE_CHECKING:
    from borough.gateway.edge import Behind, Edge

__all__ = ["Front"]

_PAUSE_S = 0.25  # longer than a ready process takes to say so


class Front:
    """One process's door for the public."""

    def __init__(self, configuration: Configuration, clock: Clock, data_folder: Path) -> None:
        """Raises `ConfigurationError` for an issuer whose keys are not named."""
        self._configuration = configuration
        self._clock = clock
        self._data_folder = data_folder
        options = configuration.options
        tokens = options.edge.tokens
        self.uses_own_tokens = tokens.issuer == "own"
        self._keys = OwnKeys(data_folder / "keys", clock)
        self.own_issuer = OwnIssuer(
            options.system.name, self._keys, clock, audience=tokens.audience
        )
        self._check = TokenCheck([self._issuer()], clock)
        self.identity = EdgeIdentity(self._check)
        self.edge: Edge | None = None
        self._server: HttpServer | None = None
        self._preparing: asyncio.Task[None] | None = None

    def _issuer(self) -> Issuer:
        options = self._configuration.options.edge.tokens
        if self.uses_own_tokens:
            return self.own_issuer.issuer()
        if options.jwks is None:
            raise ConfigurationError(
                f"edge.tokens.issuer is {options.issuer!r} and edge.tokens.jwks is missing; "
                "name the URL or the file of its key set"
            )
        is_url = options.jwks.startswith(("https://", "http://"))
        read = (
            keys_at(options.jwks) if is_url else keys_in(self._configuration.folder / options.jwks)
        )
        return Issuer(
            name=options.issuer,
            audience=options.audience or self._configuration.options.system.name,
            keys=KeySet(read, self._clock),
            algorithms=options.algorithms,
        )

    def pages(self) -> Path | None:
        """The folder of pages. Refuses one that would make keys, databases or code public."""
        options, folder = self._configuration.options, self._configuration.folder
        if not options.edge.pages:
            return None
        pages = folder / options.edge.pages
        if not pages.is_dir():
            raise ConfigurationError(f"edge.pages names {pages}, which is no folder")
        public = pages.resolve()
        data = self._data_folder.resolve()
        if data in public.parents:
            raise ConfigurationError(
                f"edge.pages names {pages}, which lies in the data folder {data}; "
                "name a folder that holds nothing but pages"
            )
        for kept in (data, folder.resolve()):
            if public == kept or public in kept.parents:
                raise ConfigurationError(
                    f"edge.pages names {pages}, which holds {kept}; "
                    "name a folder that holds nothing but pages"
                )
        return pages

    def make_edge(
        self,
        behind: Behind,
        *,
        describe: Callable[[], Awaitable[bytes]],
        describe_events: Callable[[], Awaitable[bytes]],
        described_for_s: float = float("inf"),
        states: Callable[[], Mapping[str, str]],
        mounts: Mapping[str, Handler],
    ) -> Edge:
        """The edge as borough.toml has it, without a listener; it is closed with this."""
        from borough.gateway.edge import Edge, EdgeSettings, OwnDocuments  # replicas have none

        options = self._configuration.options.edge
        settings = EdgeSettings(
            origins=options.cors,
            credentials=options.cors_credentials,
            rate=options.rate_limit,
            proxies=options.proxies,
            streams_per_client=options.streams_per_client,
            pages=self.pages(),
        )
        documents = OwnDocuments(
            describe=describe,
            describe_events=describe_events,
            described_for_s=described_for_s,
            keys=self._keys.document if self.uses_own_tokens else None,
            states=states,
        )
        self.edge = Edge(
            behind, self.identity, self._clock, settings, documents=documents, mounts=mounts
        )
        return self.edge

    def rate(self) -> Callable[[Request], None]:
        """What counts the requests of another public listener, with those of the edge where one is here."""
        if self.edge is not None:
            return self.edge.check_rate
        options = self._configuration.options.edge
        if not options.rate_limit:
            return lambda _request: None
        from borough.gateway.throttle import Throttle  # replicas have none, save for gRPC

        throttle = Throttle(options.rate_limit, self.identity, self._clock, proxies=options.proxies)
        return throttle.check

    def streams(self) -> Callable[[Request], Callable[[], None]]:
        """What counts the streams of another public listener by client, until each has ended, in the same way."""
        if self.edge is not None:
            return self.edge.hold_stream
        from borough.gateway.clients import Clients  # replicas have none, save for gRPC
        from borough.gateway.open_streams import OpenStreams

        options = self._configuration.options.edge
        clients = Clients(self.identity, options.proxies)
        return OpenStreams(options.streams_per_client, clients).hold

    def bounds(self) -> Bounds:
        """What another public listener bears together with that of the edge where one is here."""
        if self._server is not None:
            return self._server.bounds
        options = self._configuration.options.edge
        return Bounds(options.limits.for_server(), options.proxies)

    async def listen(self, edge: Edge, port: int, entrances: Entrances | None = None) -> None:
        """Open the public listener. Raises `ConfigurationError` where that cannot be had.

        `entrances`: where the calls to services of this process are counted.
        """
        options = self._configuration.options.edge
        self._server = HttpServer(
            edge.answer,
            options.limits.for_server(),
            self._clock,
            proxies=options.proxies,
            entrances=entrances,
            mark=edge.mark,
        )
        await self._server.open(options.host, port)

    def prepare(self) -> None:
        """Import PyJWT before the first token asks for it, once the start is over and announced."""
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        await self._clock.sleep(_PAUSE_S)
        await self._check.prepare()
        if self.uses_own_tokens:
            await self._keys.open()

    @property
    def url(self) -> str | None:
        """Where the public listener is; None where there is none."""
        if self._server is None:
            return None
        return f"http://{self._configuration.options.edge.host}:{self._server.port}"

    @property
    def requests(self) -> int:
        """How many requests have come to the public listener since the start."""
        return self._server.requests if self._server is not None else 0

    async def drain(self, seconds: float) -> None:
        """Take no new connection, finish what runs within `seconds`. Idempotent."""
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        if self._server is not None:
            await self._server.drain(seconds)

    async def close(self) -> None:
        """End what is left, and the readings of keys that are under way. Idempotent."""
        if self.edge is not None:
            await self.edge.close()
        await self._check.close()
        if self._server is not None:
            await self._server.close()
