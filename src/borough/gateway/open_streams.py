"""How many answers one client may have open that go on: streams, and bodies too long to be sent at once.

Nothing else bounds them: an open stream is no call at work any more, has no deadline, and costs its reader an
item now and then. So no client can take what a service has for all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
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
        client = self._clients.of(request)
        count = self._open.get(client, 0)
        if count >= self._most:
            await _closed(body)
            full = TooManyRequests(
                f"This client has {self._most} streams open, and no more may be; close one first",
                retry_after_s=_RETRY_AFTER_S,
            )
            raise after_it_ran(full, request)
        self._open[client] = count + 1
        response.body = _Counted(body, self, client)
        return response

    def release(self, client: str) -> None:
        """One of its streams has ended."""
        count = self._open.pop(client) - 1
        if count:
            self._open[client] = count


class _Counted:
    """A body whose end is told; whoever sends it closes it, come what may."""

    def __init__(self, body: AsyncIterator[bytes], streams: OpenStreams, client: str) -> None:
        self._body = body
        self._streams: OpenStreams | None = streams
        self._client = client

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        """Close the body. Idempotent."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams.release(self._client)
        await _closed(self._body)


async def _closed(body: AsyncIterator[bytes]) -> None:
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
