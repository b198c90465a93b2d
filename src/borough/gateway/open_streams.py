"""How many answers one client may have open that go on: streams, and bodies too long to be sent at once.

Nothing else bounds them: an open stream is no call at work any more, has no deadline, and costs its reader an
item now and then. So no client can take what a service has for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import cast

from borough.errors import CallError, TooManyRequests
from borough.gateway.clients import Clients
from borough.transports.http.message import Request, Response

__all__ = ["OpenStreams", "after_it_ran"]

_RETRY_AFTER_S = 5
_READING = frozenset({"GET", "HEAD"})


def after_it_ran(error: CallError, request: Request) -> CallError:
    """A refusal of what only its first piece told to be a stream: asked for again, it would run twice."""
    error.retryable = request.method in _READING  # type: ignore[misc]
    return error


class OpenStreams:
    """Counts them by client."""

    def __init__(self, most: int, clients: Clients) -> None:
        self._most = most
        self._clients = clients
        self._open: dict[str, int] = {}

    async def counted(self, request: Request, response: Response) -> Response:
        """The response, counted until its body is closed. Raises `TooManyRequests` and closes it for one too many."""
        body = cast("AsyncIterator[bytes]", response.body)
        try:
            release = self.hold(request)
        except TooManyRequests as full:
            await _closed(body)
            raise after_it_ran(full, request) from None
        response.body = _Counted(body, release)
        return response

    def hold(self, request: Request) -> Callable[[], None]:
        """Count a stream until what is returned is called, once. Raises `TooManyRequests` for one too many."""
        client = self._clients.of(request)
        count = self._open.get(client, 0)
        if count >= self._most:
            self._clients.tell_of_proxy(request)
            raise TooManyRequests(
                f"This client has {self._most} streams open, and no more may be; close one first",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._open[client] = count + 1
        return partial(self._release, client)

    def _release(self, client: str) -> None:
        count = self._open.pop(client) - 1
        if count:
            self._open[client] = count


class _Counted:
    """A body whose end is told; whoever sends it closes it, come what may."""

    def __init__(self, body: AsyncIterator[bytes], release: Callable[[], None]) -> None:
        self._body = body
        self._release: Callable[[], None] | None = release

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        """Close the body. Idempotent."""
        release, self._release = self._release, None
        if release is not None:
            release()
        await _closed(self._body)


async def _closed(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
