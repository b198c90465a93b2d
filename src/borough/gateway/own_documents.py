"""What a plain application says of itself: its `/openapi.json`, asked for in the process.

It is a courtesy: an application that has none, takes too long or says too much is left out, and the
document of the system is given without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from borough.contracts.openapi_joined import Joining
from borough.contracts.unreadable import UNREADABLE
from borough.gateway.raw import RawMount
from borough.runtime.lifespan import Message

__all__ = ["documents_of"]

_log = logging.getLogger("borough.gateway")
_PATIENCE_S = 5.0
_MOST_BYTES = 4 * 1024 * 1024


async def documents_of(mounts: Sequence[RawMount]) -> list[Joining]:
    """The documents of those that have one."""
    found = await asyncio.gather(*map(_document, mounts))
    return [joining for joining in found if joining is not None]


async def _document(mount: RawMount) -> Joining | None:
    answer = _Answer()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await mount.app(_scope(mount), answer.receive, answer.send)
    except Exception as error:
        _log.warning("%s/openapi.json cannot be joined: %r", mount.path, error)
        return None
    if answer.status != 200:
        return None
    try:
        document = msgspec.json.decode(answer.body, type=dict[str, Any])
    except UNREADABLE as error:
        _log.warning("%s/openapi.json cannot be joined: %s", mount.path, error)
        return None
    return Joining(mount.service, mount.path, mount.allow, document)


class _Answer:
    """Collects one answer, up to a bound."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self._is_asked = False
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        # Applications ask on, in a loop, to learn that the client has left: nothing comes before that.
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if len(self.body) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._over.set()


def _scope(mount: RawMount) -> Message:
    path = f"{mount.path}/openapi.json"
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": mount.path,
        "headers": [(b"host", b"localhost"), (b"accept", b"application/json")],
        "client": None,
        "server": None,
        "state": {"principal": None},
    }
