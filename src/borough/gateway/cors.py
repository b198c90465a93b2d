"""Which other web pages may call this edge from a browser (CORS, as the Fetch standard has it).

Origins are compared exactly. `*` serves pages of anybody, and then never with cookies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from borough.errors import ConfigurationError, Forbidden
from borough.transports.http.door import problem_response
from borough.transports.http.message import Request, Response

__all__ = ["Cors"]

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(?::\d{1,5})?\Z|https?://\[[0-9a-f:]+\](?::\d{1,5})?\Z")
_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:, ?[A-Za-z0-9!#$%&'*+.^_`|~-]+)*\Z")
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_ASKED = (
    "authorization", "content-type", "idempotency-key", "if-none-match", "traceparent",
    "tracestate", "borough-timeout-ms",
)  # fmt: skip
_SHOWN = b"deprecation, etag, location, retry-after, www-authenticate"
_VARY = (b"vary", b"origin")
_ALLOWS = b"access-control-allow-"


class Cors:
    """Answers preflights and marks answers for the pages that may read them."""

    def __init__(
        self,
        origins: Sequence[str],
        *,
        credentials: bool = False,
        headers: Iterable[str] | None = (),
    ) -> None:
        """`headers` are more request headers that operations read; with None, where nobody knows
        them, a page may send those it asks for. Raises `ConfigurationError`."""
        self._any = "*" in origins
        if self._any and (len(origins) > 1 or credentials):
            raise ConfigurationError(
                'Origins are either ["*"], without credentials, or a list such as ["https://shop.example"]'
            )
        for origin in origins:
            if origin != "*" and not _ORIGIN.match(origin):
                raise ConfigurationError(
                    f"{origin!r} is no origin; write scheme, host and port only, such as "
                    '"https://shop.example" or "http://localhost:5173", in lower case'
                )
        self._origins = frozenset(origins)
        self._knows_headers = headers is not None
        asked = sorted({*_ASKED, *(name.lower() for name in headers or ())})
        self._credentials = ((b"access-control-allow-credentials", b"true"),) if credentials else ()
        self._headers = ", ".join(asked)

    def preflight(self, request: Request) -> Response | None:
        """The answer to a browser's question before a call; None where this is none."""
        if request.method != "OPTIONS" or "access-control-request-method" not in request.headers:
            return None
        granted = self._granted(request.headers.get("origin"))
        if granted is None:
            refusal = Forbidden("Pages of this origin may not call here")
            return self.mark(request, problem_response(refusal))
        return Response(204, [*granted, *self._allowed(request)])

    def _allowed(self, request: Request) -> tuple[tuple[bytes, bytes], ...]:
        """What a page of a granted origin may send."""
        headers = self._headers
        wanted = request.headers.get("access-control-request-headers")
        if not self._knows_headers and wanted is not None and _NAMES.match(wanted):
            headers = wanted.lower()
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", headers.encode()),
            (b"access-control-max-age", b"600"),
        )

    def mark(self, request: Request, response: Response) -> Response:
        """The response as the asking page may read it, whatever an application allows of itself: a
        browser takes two origins for none. What it exposes is added to what the edge does."""
        granted = self._granted(request.headers.get("origin"))
        own = response.headers
        if any(name.startswith(_ALLOWS) for name, _ in own):
            own = tuple(field for field in own if not field[0].startswith(_ALLOWS))
        if granted is None:
            response.headers = (*own, _VARY)
        else:
            shown = (b"access-control-expose-headers", _SHOWN)
            response.headers = (*own, *granted, shown)
        return response

    def _granted(self, origin: str | None) -> tuple[tuple[bytes, bytes], ...] | None:
        """The fields that open an answer to `origin`; None where it is not allowed."""
        if self._any:  # whoever asks: a cache hands the answer on to pages of others
            return ((b"access-control-allow-origin", b"*"),)
        if origin is None or origin not in self._origins:
            return None
        allowed = (b"access-control-allow-origin", origin.encode())
        return (allowed, _VARY, *self._credentials)
