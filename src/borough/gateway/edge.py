"""The edge: what the public reaches. Nothing a client says of callers or principals gets past it.

A request goes by its first segment: to a service's operations and raw applications, a mount, a
well-known document, else to the folder of pages. Around all of it: CORS, then the rate limit.
Only public operations have a route here; an internal one is as absent as one that never existed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from borough.clock import Clock
from borough.errors import (
    CallError,
    ConfigurationError,
    MethodNotAllowed,
    NotFound,
    ServiceFailure,
)
from borough.gateway.cors import Cors
from borough.gateway.documents import DocsPage, Document, Probes, described
from borough.gateway.identity import EdgeIdentity
from borough.gateway.pages import Pages
from borough.gateway.raw import RawApp, RawMount
from borough.gateway.throttle import Throttle
from borough.transports.http import wire
from borough.transports.http.door import Door, Route, problem_response
from borough.transports.http.message import Headers, Request, Response
from borough.transports.http.paths import path_segments

__all__ = ["Edge", "EdgeSettings", "Handler", "OwnDocuments"]

_log = logging.getLogger("borough.gateway")
Handler = Callable[[Request], Awaitable[Response]]
_JWKS_LIFETIME_S = 10.0
_CLAIMS = frozenset({wire.SERVICE, wire.PROOF, wire.PRINCIPAL})
_RESERVED = ("livez", "readyz", "docs", "openapi.json", ".well-known")


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
    pages: Path | None = None
    """A folder of static pages, served at `/`."""
    default_timeout_s: float = 10.0
    longest_timeout_s: float = 60.0


class OwnDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """What the edge publishes: the OpenAPI document, the keys of own tokens, services' states.

    `others` are documents of plain applications, joined to that of the contracts.
    """

    describe: Callable[[], Mapping[str, Any]] | None = None
    others: Callable[[], Awaitable[Sequence[Any]]] | None = None
    keys: Callable[[], Awaitable[bytes]] | None = None
    states: Callable[[], Mapping[str, str]] = dict


class Edge:
    """Answers everything that comes from outside. `answer` never raises."""

    def __init__(
        self,
        routes: Iterable[Route],
        identity: EdgeIdentity,
        clock: Clock,
        settings: EdgeSettings | None = None,
        *,
        documents: OwnDocuments | None = None,
        mounts: Mapping[str, Handler] | None = None,
        raws: Sequence[RawMount] = (),
    ) -> None:
        """`mounts` maps path prefixes (`/system`) to handlers. Raises `ConfigurationError`."""
        settings = settings or EdgeSettings()
        public = [route for route in routes if route.callee.operation.public]
        self._door = Door(
            public,
            identity,
            clock,
            strict=True,
            default_timeout_s=settings.default_timeout_s,
            longest_timeout_s=settings.longest_timeout_s,
        )
        self._throttle = (
            Throttle(settings.rate, identity, clock, proxies=settings.proxies)
            if settings.rate
            else None
        )
        self._cors = _cors(settings, public)
        self._raws = [RawApp(raw, identity, clock, settings.longest_timeout_s) for raw in raws]
        self._pages = Pages(settings.pages) if settings.pages is not None else None
        self._probes: dict[str, Handler] = {}
        self._segments: dict[str, Handler] = {}
        for route in public:
            self._segments[_first(route.callee.operation.path)] = self._door.answer
        self._mount({raw.mount.path: self._after_operations(raw) for raw in self._raws})
        self._publish(documents or OwnDocuments(), clock)
        self._mount(mounts or {})

    def _publish(self, documents: OwnDocuments, clock: Clock) -> None:
        probes = Probes(documents.states)
        self._probes = {"/livez": probes.live, "/readyz": probes.ready}
        taken = sorted(set(_RESERVED).intersection(self._segments))
        if taken:
            raise ConfigurationError(
                f"A service is named {taken[0]}, which the edge answers itself; rename it"
            )
        if documents.describe is not None:
            document = Document(described(documents.describe, documents.others), clock)
            self._segments["openapi.json"] = _exactly("/openapi.json", document.answer)
            self._segments["docs"] = DocsPage().answer
        if documents.keys is not None:
            jwks = Document(
                documents.keys, clock, kind=b"application/jwk-set+json", lifetime_s=_JWKS_LIFETIME_S
            )
            self._segments[".well-known"] = _exactly("/.well-known/jwks.json", jwks.answer)

    def _mount(self, handlers: Mapping[str, Handler]) -> None:
        """Put handlers below their prefixes; what lies beside them goes where it went before."""
        for prefix in sorted(handlers):  # a longer prefix is put in front of a shorter one
            path = prefix.rstrip("/")
            if not path.startswith("/"):
                raise ConfigurationError(
                    f"The mount {prefix!r} must begin with / and name a segment"
                )
            first = _first(path)
            self._segments[first] = _below(
                path, handlers[prefix], self._segments.get(first, self._elsewhere)
            )

    def _after_operations(self, raw: RawApp) -> Handler:
        """The raw application, save for paths where an operation stands: those win."""

        async def answer(request: Request) -> Response:
            try:
                self._door.router.find(request.method, request.path)
            except NotFound:
                return await raw.answer(request)
            except MethodNotAllowed:
                pass
            return await self._door.answer(request)

        return answer

    def answer(self, request: Request) -> Awaitable[Response]:
        """The response to a request, whatever happens."""
        cors = self._cors
        return self._answer(request) if cors is None else self._across(cors, request)

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
            if request.headers.has_any(_CLAIMS):
                request = _without_claims(request)
            handler = self._segments.get(_first(path), self._elsewhere)
            return await handler(request)
        except CallError as error:
            return problem_response(error)
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return problem_response(ServiceFailure("The request could not be answered"))

    async def _elsewhere(self, request: Request) -> Response:
        """No service, mount or document: a page, or nothing."""
        if self._pages is None:
            return await self._door.answer(request)
        return await self._pages.answer(request)

    async def close(self) -> None:
        """End what raw applications have left running. Idempotent."""
        for raw in self._raws:
            await raw.close()


def _cors(settings: EdgeSettings, routes: Sequence[Route]) -> Cors | None:
    if not settings.origins:
        return None
    headers = [
        parameter.wire_name
        for route in routes
        for parameter in route.callee.operation.parameters
        if parameter.place == "header"
    ]
    return Cors(settings.origins, credentials=settings.credentials, headers=headers)


def _first(path: str) -> str:
    end = path.find("/", 1)
    return path[1:] if end < 0 else path[1:end]


def _exactly(path: str, handler: Handler) -> Handler:
    async def answer(request: Request) -> Response:
        if request.path != path:
            raise NotFound(f"There is nothing at {request.path}")
        return await handler(request)

    return answer


def _below(prefix: str, handler: Handler, otherwise: Handler) -> Handler:
    start = prefix + "/"

    async def answer(request: Request) -> Response:
        if request.path == prefix or request.path.startswith(start):
            path_segments(
                request.path
            )  # refuses `..` and the like before anything relies on the prefix
            return await handler(request)
        return await otherwise(request)

    return answer


def _without_claims(request: Request) -> Request:
    """The request without any `borough-*` field but the time limit, which everybody may ask for."""
    kept = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in request.headers.items()
        if not name.startswith("borough-") or name == wire.TIMEOUT_MS
    ]
    bare = Request(
        request.method,
        request.path,
        request.query,
        Headers.of(kept),
        request.body,
        request.connection,
    )
    bare.arrival = request.arrival
    return bare
