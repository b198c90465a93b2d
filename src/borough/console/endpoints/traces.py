"""What is kept of traces: `GET /console/api/traces` finds them, `GET /console/api/traces/ID` has one whole.

Both are answered in the thread of what is kept; a search that nobody waits for any more still ends there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from borough.console.endpoint import LIVE, Asked, Endpoint
from borough.console.seen import Seen
from borough.errors import InvalidRequest, NotFound
from borough.observing.searching import TraceFilter, find_traces, gathered_ns, trace_of
from borough.observing.store import TelemetryFile
from borough.transports.http.message import Response

__all__ = ["endpoints"]

_MOST = 200
_USUAL = 50
_LONGEST_TEXT = 200


def endpoints(seen: Seen) -> Iterable[Endpoint]:
    """Those of traces."""

    async def find(asked: Asked) -> Response:
        wanted = _filter(asked, seen.clock.epoch_s())

        def answer(file: TelemetryFile) -> bytes:
            found = find_traces(file, wanted, gathered_ns=_gathered_ns(seen))
            return msgspec.json.encode({"traces": found})

        return Response(200, LIVE, await seen.kept.ask(answer))

    async def show(asked: Asked) -> Response:
        trace_id = asked.path["trace_id"].lower()

        def answer(file: TelemetryFile) -> bytes | None:
            view = trace_of(file, trace_id, gathered_ns=_gathered_ns(seen))
            return None if view is None else msgspec.json.encode(view)

        document = await seen.kept.ask(answer)
        if document is None:
            raise NotFound(
                f"Nothing is kept of trace {trace_id}: it was not recorded, or is older than what is kept"
            )
        return Response(200, LIVE, document)

    yield Endpoint("GET", "/traces", find)
    yield Endpoint("GET", "/traces/{trace_id}", show)


def _gathered_ns(seen: Seen) -> int:
    return gathered_ns(seen.clock.epoch_s(), seen.configuration.options.telemetry.every_s)


def _filter(asked: Asked, now_s: float) -> TraceFilter:
    """What is asked for. Raises `InvalidRequest`."""
    query = asked.query
    within_s = _number(asked, "within_s")
    return TraceFilter(
        service=query.get("service") or None,
        operation=query.get("operation") or None,
        status=_status(query.get("status")),
        longer_than_ms=_number(asked, "at_least_ms"),
        text=query.get("text", "").strip()[:_LONGEST_TEXT] or None,
        since_ns=0 if within_s is None else max(0, int((now_s - within_s) * 1e9)),
        schedules=query.get("schedules", "yes") != "no",
        limit=max(1, min(_MOST, int(_number(asked, "limit") or _USUAL))),
    )


def _status(given: str | None) -> Literal["ok", "error"] | None:
    if not given:
        return None
    if given == "ok":
        return "ok"
    if given == "error":
        return "error"
    raise InvalidRequest(f"status is ok or error, not {given!r}")


def _number(asked: Asked, name: str) -> float | None:
    given = asked.query.get(name)
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not 0 <= number < 1e12:
        raise InvalidRequest(f"{name} is a number of at least 0, not {given!r}")
    return number
