"""What the edge says of itself: the OpenAPI document, the docs page, public keys, and its health.

A document is built at its first request and kept as bytes with an ETag. The docs page is a few
files of our own; it loads nothing from elsewhere and has no script in its HTML.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.clock import Clock
from borough.errors import MethodNotAllowed, NotFound
from borough.gateway.pages import is_current
from borough.transports.http.message import Request, Response

if TYPE_CHECKING:
    from borough.contracts.openapi_joined import Joining

__all__ = ["DocsPage", "Document", "Probes", "described", "encoded", "only_get"]

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_DOCS = Path(__file__).parent / "docs_page"
_DOCS_FILES = {
    "/docs": ("docs.html", b"text/html; charset=utf-8"),
    "/docs/docs.css": ("docs.css", b"text/css; charset=utf-8"),
    "/docs/docs.js": ("docs.js", b"text/javascript; charset=utf-8"),
    "/docs/dom.js": ("dom.js", b"text/javascript; charset=utf-8"),
    "/docs/operations.js": ("operations.js", b"text/javascript; charset=utf-8"),
    "/docs/schema.js": ("schema.js", b"text/javascript; charset=utf-8"),
    "/docs/tryit.js": ("tryit.js", b"text/javascript; charset=utf-8"),
}
_DOCS_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


def only_get(request: Request) -> None:
    """Refuse what does not read. Raises `MethodNotAllowed`."""
    if request.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(
            f"{request.path} does not take {request.method}", allowed=["GET", "HEAD"]
        )


class Document:
    """Bytes that are built when first asked for, and again after `lifetime_s`."""

    def __init__(
        self,
        build: Callable[[], Awaitable[bytes]],
        clock: Clock,
        *,
        kind: bytes = b"application/json",
        lifetime_s: float = float("inf"),
    ) -> None:
        self._build = build
        self._clock = clock
        self._kind = kind
        self._lifetime_s = lifetime_s
        self._building = asyncio.Lock()
        self._built_at = float("-inf")
        self._body = b""
        self._tag = ""

    async def answer(self, request: Request) -> Response:
        """The document, or 304 where the client has it."""
        only_get(request)
        if self._is_old():
            async with self._building:
                if self._is_old():
                    self._body = await self._build()
                    self._tag = f'"{sha256(self._body).hexdigest()[:32]}"'
                    self._built_at = self._clock.monotonic()
        headers = (
            (b"content-type", self._kind),
            (b"cache-control", b"no-cache"),
            (b"etag", self._tag.encode()),
            _NOSNIFF,
        )
        if is_current(request, self._tag):
            return Response(304, headers)
        return Response(200, headers, self._body)

    def _is_old(self) -> bool:
        return not self._tag or self._clock.monotonic() - self._built_at > self._lifetime_s


def described(
    describe: Callable[[], Mapping[str, Any]],
    others: Callable[[], Awaitable[Sequence[Joining]]] | None = None,
) -> Callable[[], Awaitable[bytes]]:
    """Builds JSON in a thread: a large system's document takes longer than the loop may wait.

    `others` gives the documents that are joined to it.
    """

    async def build() -> bytes:
        further = await others() if others is not None else ()
        return await asyncio.to_thread(lambda: _joined(describe(), further))

    return build


def encoded(others: Callable[[], Awaitable[Sequence[Joining]]]) -> Callable[[], Awaitable[bytes]]:
    """Builds JSON of the documents themselves, for whoever joins them elsewhere."""

    async def build() -> bytes:
        return msgspec.json.encode(await others())

    return build


def _joined(document: Mapping[str, Any], others: Sequence[Joining]) -> bytes:
    if others:
        from borough.contracts.openapi_joined import joined

        document = joined(document, others)
    return msgspec.json.encode(document)


class DocsPage:
    """The REST docs page at `/docs`, which renders `/openapi.json` in the browser."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[tuple[tuple[bytes, bytes], ...], str, bytes]] = {}

    async def answer(self, request: Request) -> Response:
        """One of the page's files. Raises `NotFound`."""
        only_get(request)
        if request.path == "/docs/":
            return Response(308, [(b"location", b"../docs")])
        if request.path not in _DOCS_FILES:
            raise NotFound(f"There is nothing at {request.path}")
        if request.path not in self._files:
            name, kind = _DOCS_FILES[request.path]
            body = await asyncio.to_thread((_DOCS / name).read_bytes)
            tag = f'"{sha256(body).hexdigest()[:32]}"'
            fields: tuple[tuple[bytes, bytes], ...] = (
                (b"content-type", kind),
                (b"cache-control", b"no-cache"),
                (b"etag", tag.encode()),
                _DOCS_POLICY,
                _NOSNIFF,
                (b"referrer-policy", b"no-referrer"),
            )
            self._files[request.path] = fields, tag, body
        headers, tag, body = self._files[request.path]
        if is_current(request, tag):
            return Response(304, headers)
        return Response(200, headers, body)


class Probes:
    """`/livez`: the process answers. `/readyz`: every service is `"ready"`, or which is not."""

    def __init__(self, states: Callable[[], Mapping[str, str]]) -> None:
        self._states = states

    async def live(self, request: Request) -> Response:
        """Always 200: whoever answers lives."""
        only_get(request)
        return _status(200, {"status": "live"})

    async def ready(self, request: Request) -> Response:
        """200 when there are services and all are ready, else 503."""
        only_get(request)
        states = dict(self._states())
        ready = bool(states) and all(state == "ready" for state in states.values())
        status = "ready" if ready else "not ready"
        return _status(200 if ready else 503, {"status": status, "services": states})


def _status(status: int, content: Mapping[str, Any]) -> Response:
    headers = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
    return Response(status, headers, msgspec.json.encode(content))
