"""The edge: what the public reaches. Nothing a client says of callers or principals gets past it.

A request goes by its first segment: to a service, a mount, a well-known document, else to the
folder of pages. Around all of it: CORS, then the rate limit. Whether services answer in this
process or behind it in others is all the same here: `Behind` says what answers for which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from borough.clock import Clock
from borough.errors import ConfigurationError, InvalidRequest
from borough.gateway.clients import Clients
from borough.gateway.cors import Cors
from borough.gateway.documents import DocsPage, Document, Probes
from borough.gateway.identity import EdgeIdentity
from borough.gateway.open_streams import OpenStreams
from borough.gateway.pages import Pages
from borough.gateway.segments import Handler, Segments, exactly, failed, nothing_there
from borough.gateway.throttle import Throttle
from borough.transports.http import wire
from borough.transports.http.message import Headers, Request, Response

__all__ = ["Behind", "Edge", "EdgeSettings", "OwnDocuments"]

_JWKS_LIFETIME_S = 10.0
_CLAIMS = frozenset({wire.SERVICE, wire.PROOF, wire.PRINCIPAL})
_RESERVED = ("livez", "readyz", "docs", "openapi.json", "asyncapi.json", ".well-known")


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set of an edge."""

    origins: tuple[str, ...] = ()
    """Origins of other pages that may call, or `("*",)`; none by default."""
    credentials: bool = False
    """Whether those pages may send cookies."""
    rate: str | None = None
    """Requests per client, such as `"500/s"`."""
    proxies: tuple[str, ...] = ()
    """Networks of proxies whose `X-Forwarded-For` is believed."""
    streams_per_client: int = 128
    """Streams of one client, a signed-in subject or an address, that are open at once."""
    pages: Path | None = None
    """A folder of static pages, served at `/`."""


class OwnDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge publishes: the OpenAPI and the AsyncAPI document, the keys of own tokens, services' states.

    Both documents are built again when they are older than `described_for_s`.
    """

    describe: Callable[[], Awaitable[bytes]] | None = None
    describe_events: Callable[[], Awaitable[bytes]] | None = None
    described_for_s: float = float("inf")
    keys: Callable[[], Awaitable[bytes]] | None = None
    states: Callable[[], Mapping[str, str]] = dict


class Behind(Protocol):
    """The services behind an edge."""

    request_headers: Sequence[str] | None
    """Which request headers their operations read, beside the usual; None where nobody knows."""

    def handlers(self) -> Iterator[tuple[str, Handler]]:
        """What answers, by first segment."""
        ...

    async def close(self) -> None:
        """End what is left running. Idempotent."""
        ...


class Edge:
    """Answers everything that comes from outside. `answer` never raises."""

    def __init__(
        self,
        behind: Behind,
        identity: EdgeIdentity,
        clock: Clock,
        settings: EdgeSettings | None = None,
        *,
        documents: OwnDocuments | None = None,
        mounts: Mapping[str, Handler] | None = None,
    ) -> None:
        """`mounts` maps path prefixes (`/system`) to handlers. Raises `ConfigurationError`."""
        settings = settings or EdgeSettings()
        self._behind = behind
        self._throttle = (
            Throttle(settings.rate, identity, clock, proxies=settings.proxies)
            if settings.rate
            else None
        )
        clients = Clients(identity, settings.proxies)
        self._streams = OpenStreams(settings.streams_per_client, clients)
        self._cors = (
            Cors(
                settings.origins,
                credentials=settings.credentials,
                headers=behind.request_headers,
            )
            if settings.origins
            else None
        )
        pages = nothing_there if settings.pages is None else Pages(settings.pages).answer
        self._segments = Segments(pages)
        for first, handler in behind.handlers():
            self._segments.put(first, handler)
        documents = documents or OwnDocuments()
        probes = Probes(documents.states)
        self._probes: dict[str, Handler] = {"/livez": probes.live, "/readyz": probes.ready}
        self._publish(documents, clock)
        self._segments.mount(mounts or {})

    def _publish(self, documents: OwnDocuments, clock: Clock) -> None:
        taken = sorted(name for name in _RESERVED if name in self._segments)
        if taken:
            raise ConfigurationError(
                f"A service is named {taken[0]}, which the edge answers itself; rename it"
            )
        if documents.describe is not None:
            document = Document(documents.describe, clock, lifetime_s=documents.described_for_s)
            self._segments.put("openapi.json", exactly("/openapi.json", document.answer))
            self._segments.put("docs", DocsPage().answer)
        if documents.describe_events is not None:
            document = Document(
                documents.describe_events, clock, lifetime_s=documents.described_for_s
            )
            self._segments.put("asyncapi.json", exactly("/asyncapi.json", document.answer))
        if documents.keys is not None:
            jwks = Document(
                documents.keys, clock, kind=b"application/jwk-set+json", lifetime_s=_JWKS_LIFETIME_S
            )
            self._segments.put(".well-known", exactly("/.well-known/jwks.json", jwks.answer))

    def answer(self, request: Request) -> Awaitable[Response]:
        """The response to a request, whatever happens."""
        cors = self._cors
        return self._answer(request) if cors is None else self._across(cors, request)

    def check_rate(self, request: Request) -> None:
        """Count what comes by another listener. Raises `TooManyRequests`."""
        if self._throttle is not None:
            self._throttle.check(request)

    def hold_stream(self, request: Request) -> Callable[[], None]:
        """Count a stream of another listener until what is returned is called. Raises `TooManyRequests`."""
        return self._streams.hold(request)

    def mark(self, request: Request, response: Response) -> Response:
        """What was refused before it came here, as other origins may read it."""
        if self._cors is None:
            return response
        return self._cors.mark(request, Response(response.status, response.headers, response.body))

    async def _across(self, cors: Cors, request: Request) -> Response:
        """Other origins may ask."""
        return cors.preflight(request) or cors.mark(request, await self._answer(request))

    async def _answer(self, request: Request) -> Response:
        try:
            path = request.path
            if path in self._probes:
                return await self._probes[path](request)
            if self._throttle is not None:
                self._throttle.check(request)
            if wire.TIMEOUT_MS in request.headers.raw:
                _refuse_no_time(request)
            if request.headers.has_any(_CLAIMS):
                request = _without_claims(request)
            response = await self._segments.handler_of(path)(request)
            if isinstance(response.body, bytes):
                return response
            return await self._streams.counted(request, response)
        except Exception as error:
            return failed(request, error)

    async def close(self) -> None:
        """End what services have left running. Idempotent."""
        await self._behind.close()


def _refuse_no_time(request: Request) -> None:
    """Who asks for no time at all has made a mistake; inside it means that none is left, and is a failure."""
    if wire.read_timeout_s(request.headers.get(wire.TIMEOUT_MS)) == 0:
        raise InvalidRequest(
            "Borough-Timeout-Ms is 0, which leaves no time for an answer; "
            "name at least 1, or leave it out"
        )


def _without_claims(request: Request) -> Request:
    """The request without any `borough-*` field but the time limit, which everybody may ask for."""
    kept = {
        name: value
        for name, value in request.headers.raw.items()
        if not name.startswith("borough-") or name == wire.TIMEOUT_MS
    }
    bare = Request(
        request.method,
        request.path,
        request.query,
        Headers(kept),
        request.body,
        request.connection,
    )
    bare.arrival = request.arrival
    return bare
