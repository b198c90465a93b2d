"""`GET /console/api/live?topics=NAME,NAME`: what changes, as server-sent events."""

from __future__ import annotations

from collections.abc import Iterable

from borough.console.access import Access
from borough.console.endpoint import Asked, Endpoint
from borough.console.live import Live
from borough.errors import InvalidRequest
from borough.transports.http.message import Response

__all__ = ["endpoints"]

_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


def endpoints(live: Live, access: Access) -> Iterable[Endpoint]:
    """That of the stream, which lasts no longer than the session."""

    async def follow(asked: Asked) -> Response:
        topics = [name for name in asked.query.get("topics", "").split(",") if name]
        unknown = [name for name in topics if name not in live.topics]
        if unknown or not topics:
            there = ", ".join(sorted(live.topics))
            raise InvalidRequest(f"topics names what is followed, of {there}")
        if asked.request.method == "HEAD":
            return Response(200, _HEADERS)

        def may_follow() -> bool:
            return access.session(asked.request) is not None

        return Response(200, _HEADERS, live.follow(tuple(dict.fromkeys(topics)), may_follow))

    yield Endpoint("GET", "/live", follow)
