"""What the system is made of and what it does: `/system`, `/state`, `/map`, and most live topics.

The topics, each by key: `state`, `services` by name, `operations` by wire name, `edges` by
`KIND CALLER CALLEE`, `processes` by pid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.live import Source
from borough.console.seen import Seen
from borough.console.watch import Watch
from borough.gateway.documents import Document
from borough.transports.http.message import Response

__all__ = ["endpoints", "sources"]

_FRESH_S = 1.0


def endpoints(seen: Seen, watch: Watch) -> Iterable[Endpoint]:
    """Those of the whole system."""

    async def build() -> bytes:
        return msgspec.json.encode(await seen.facts())

    document = Document(build, seen.clock, lifetime_s=_FRESH_S)

    async def system(asked: Asked) -> Response:
        return await document.answer(asked.request)

    async def state(_: Asked) -> Response:
        return json_answer((await seen.counts()).together)

    async def edges(_: Asked) -> Response:
        return json_answer({"edges": list((await watch.look()).edges().values())})

    yield Endpoint("GET", "/system", system)
    yield Endpoint("GET", "/state", state)
    yield Endpoint("GET", "/map", edges)


def sources(watch: Watch) -> Sequence[Source]:
    """What of it is live."""

    async def read() -> Mapping[str, Mapping[str, Any]]:
        return (await watch.look()).topics()

    return (Source(("state", "services", "operations", "edges", "processes"), read),)
