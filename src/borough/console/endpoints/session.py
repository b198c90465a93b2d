"""Logging in and out: `GET` and `POST /console/api/session`, `POST /console/api/session/end`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from borough.console.access import Access
from borough.console.endpoint import LIVE, Asked, Endpoint
from borough.transports.http.message import Response

__all__ = ["endpoints"]


class _Password(msgspec.Struct, frozen=True):
    password: str


def endpoints(access: Access) -> Iterable[Endpoint]:
    """Those of a session."""

    def state(asked: Asked) -> bytes:
        session = access.session(asked.request)
        return msgspec.json.encode(
            {
                "needs_login": access.needs_login,
                "logged_in": session is not None,
                "token": None if session is None else session.token,
            }
        )

    async def look(asked: Asked) -> Response:
        return Response(200, LIVE, state(asked))

    async def log_in(asked: Asked) -> Response:
        cookie = access.log_in(asked.request, asked.body(_Password).password)
        return Response(204, [*LIVE[1:], cookie])

    async def log_out(asked: Asked) -> Response:
        return Response(204, [*LIVE[1:], access.log_out(asked.request)])

    yield Endpoint("GET", "/session", look)
    yield Endpoint("POST", "/session", log_in)
    yield Endpoint("POST", "/session/end", log_out)
