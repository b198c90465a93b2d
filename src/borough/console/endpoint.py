"""What the console's page may ask: endpoints below `/console/api`, one file of `endpoints/` per area.

An endpoint is a method, a path and a function from what was asked to JSON. What reads is GET; what
changes something is POST, and the door lets it through only with the session's token.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import InvalidRequest, MethodNotAllowed, NotFound
from borough.transports.http.message import Request, Response

__all__ = ["LIVE", "Asked", "Endpoint", "Endpoints", "json_answer"]

T = TypeVar("T")
LIVE = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)
"""Headers of what is another one a moment later."""
_PARAMETER = re.compile(r"\{(\w+)\}")


class Asked:
    """A request to an endpoint: `path` has the parameters of its path, `query` those behind the `?`."""

    __slots__ = ("path", "query", "request")

    def __init__(self, request: Request, path: Mapping[str, str]) -> None:
        self.request = request
        self.path = path
        self.query: Mapping[str, str] = dict(parse_qsl(request.query, keep_blank_values=True))

    def body(self, kind: type[T]) -> T:
        """The JSON document that came along. Raises `InvalidRequest`."""
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except UNREADABLE as error:
            raise InvalidRequest(
                f"the body is not what {self.request.path} takes: {error}"
            ) from None


Answer = Callable[[Asked], Awaitable[Response]]


class Endpoint:
    """`path` stands below `/console/api` and may have `{parameters}`."""

    __slots__ = ("answer", "match", "method", "path")

    def __init__(self, method: Literal["GET", "POST"], path: str, answer: Answer) -> None:
        self.method = method
        self.path = path
        self.answer = answer
        self.match = re.compile(_PARAMETER.sub(r"(?P<\1>[^/]+)", path)).fullmatch


class Endpoints:
    """All of them, found by method and path."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)

    def find(self, request: Request, path: str) -> tuple[Endpoint, Asked]:
        """The endpoint of a request at `path`. Raises `NotFound`, `MethodNotAllowed`."""
        allowed: list[str] = []
        for endpoint in self._endpoints:
            found = endpoint.match(path)
            if found is None:
                continue
            if request.method == endpoint.method or (request.method, endpoint.method) == (
                "HEAD",
                "GET",
            ):
                given = {name: unquote(text) for name, text in found.groupdict().items()}
                return endpoint, Asked(request, given)
            allowed.append(endpoint.method)
        if allowed:
            raise MethodNotAllowed(f"{path} does not take {request.method}", allowed=allowed)
        raise NotFound(f"The console has nothing at {path}")


def json_answer(document: Any, status: int = 200) -> Response:
    """A document as it is now."""
    return Response(status, LIVE, msgspec.json.encode(document))
