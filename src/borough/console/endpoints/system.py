"""What the system is made of and what it does: `/console/api/system`, `/console/api/state`, live topics.

The topics: `state` (`state`, `started_at`, `version`), `services`, `operations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.live import Source
from borough.console.seen import Seen
from borough.gateway.documents import Document
from borough.transports.http.message import Response

__all__ = ["endpoints", "sources"]

_FRESH_S = 1.0


def endpoints(seen: Seen) -> Iterable[Endpoint]:
    """Those of the whole system."""

    async def build() -> bytes:
        return msgspec.json.encode(await seen.facts())

    document = Document(build, seen.clock, lifetime_s=_FRESH_S)

    async def system(asked: Asked) -> Response:
        return await document.answer(asked.request)

    async def state(_: Asked) -> Response:
        return json_answer(await seen.counts())

    yield Endpoint("GET", "/system", system)
    yield Endpoint("GET", "/state", state)


def sources(seen: Seen) -> Sequence[Source]:
    """What of it is live."""

    async def read() -> Mapping[str, Mapping[str, Any]]:
        counts = await seen.counts()
        return {
            "state": {"state": counts.state, "started_at": counts.started_at},
            "services": counts.services,
            "operations": counts.operations,
        }

    return (Source(("state", "services", "operations"), read),)
