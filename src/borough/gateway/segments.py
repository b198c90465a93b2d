"""What answers where: by a path's first segment, then below the prefixes that lie inside of it.

A service owns one segment, a mount or a document another. Prefixes are compared as they stand, and
a path that is not in normal form is refused before anything relies on one.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping

from borough.errors import CallError, ConfigurationError, NotFound, ServiceFailure
from borough.transports.http.door import problem_response
from borough.transports.http.message import Request, Response
from borough.transports.http.paths import path_segments

__all__ = ["Handler", "Segments", "exactly", "failed", "first_segment", "nothing_there"]

_log = logging.getLogger("borough.gateway")
Handler = Callable[[Request], Awaitable[Response]]


class Segments:
    """Handlers by first segment; what has none goes `elsewhere`."""

    def __init__(self, elsewhere: Handler) -> None:
        self._elsewhere = elsewhere
        self._handlers: dict[str, Handler] = {}

    def put(self, first: str, handler: Handler) -> None:
        """Everything below `/first` goes to this handler."""
        self._handlers[first] = handler

    def mount(self, handlers: Mapping[str, Handler]) -> None:
        """Put handlers below their prefixes; what lies beside them goes where it went before.

        Raises `ConfigurationError` for a prefix that names no segment.
        """
        for prefix in sorted(handlers):  # a longer prefix is put in front of a shorter one
            path = prefix.rstrip("/")
            if not path.startswith("/"):
                raise ConfigurationError(
                    f"The mount {prefix!r} must begin with / and name a segment"
                )
            first = first_segment(path)
            self._handlers[first] = _below(
                path, handlers[prefix], self._handlers.get(first, self._elsewhere)
            )

    def __contains__(self, first: str) -> bool:
        return first in self._handlers

    def items(self) -> Iterator[tuple[str, Handler]]:
        """Each first segment with what answers below it."""
        return iter(self._handlers.items())

    def handler_of(self, path: str) -> Handler:
        """What answers a request for this path."""
        return self._handlers.get(first_segment(path), self._elsewhere)


def first_segment(path: str) -> str:
    """The first segment, as it stands: not decoded."""
    end = path.find("/", 1)
    return path[1:] if end < 0 else path[1:end]


def exactly(path: str, handler: Handler) -> Handler:
    """The handler at this path and nowhere below it."""

    async def answer(request: Request) -> Response:
        if request.path != path:
            raise NotFound(f"There is nothing at {request.path}")
        return await handler(request)

    return answer


async def nothing_there(request: Request) -> Response:
    """What answers where nothing does. Raises `NotFound`, `InvalidRequest` for an odd path."""
    path_segments(request.path)
    raise NotFound(f"There is nothing at {request.path}")


def failed(request: Request, error: Exception) -> Response:
    """A handler's failure as a problem, without an inside."""
    if isinstance(error, CallError):
        return problem_response(error)
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem_response(ServiceFailure("The request could not be answered"))


def _below(prefix: str, handler: Handler, otherwise: Handler) -> Handler:
    start = prefix + "/"

    async def answer(request: Request) -> Response:
        if request.path == prefix or request.path.startswith(start):
            path_segments(request.path)
            return await handler(request)
        return await otherwise(request)

    return answer
