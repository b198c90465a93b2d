"""How much of what a service has room for is taken: calls at work, blocking work in threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from borough.runtime.running import RunningService
from borough.transports.http.entrance import Entrance

__all__ = ["Room", "rooms_of"]


class Room(msgspec.Struct, frozen=True):
    """`busy` of `limit` are at work, others wait. `refused` counts since the start what found no room."""

    kind: Literal["calls", "threads"]
    busy: int
    limit: int
    waiting: int
    refused: int


def rooms_of(service: RunningService, entrance: Entrance | None) -> Iterator[Room]:
    """Those of a service. Calls from outside pass its entrance, whose limit may be lower than the service's own.

    Calls within the process do not pass there: of both limits that one is told which is nearer to its end.
    """
    gate, pool = service.gate, service.pool
    calls = Room("calls", gate.in_flight, gate.limit, 0, gate.refused)
    if entrance is not None:
        refused = gate.refused + entrance.refused
        limit = entrance.limit
        calls = max(
            Room("calls", limit.at_work, limit.limit, len(entrance.line), refused),
            Room("calls", gate.in_flight, gate.limit, 0, refused),
            key=lambda each: (each.busy + each.waiting) / max(1, each.limit),
        )
    yield calls
    busy = min(pool.busy, pool.threads)
    yield Room("threads", busy, pool.threads, pool.busy - busy, pool.refused)
