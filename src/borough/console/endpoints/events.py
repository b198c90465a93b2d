"""Events: `GET /console/api/events`, `/events/dead`; `POST /events/replay` and `/events/drop`.

Live are the topics `event-topics`, by topic, and `dead-letters`, by `HANDLER FINGERPRINT`. What a dead
letter holds is masked as log lines are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.event_desk import EventDesk
from borough.console.live import Source
from borough.errors import InvalidRequest, Unavailable
from borough.runtime.dead_letters import DeadEvent, DeadGroup, Selection
from borough.telemetry.masking import masked
from borough.telemetry.trace import read_traceparent
from borough.transports.http.message import Response

__all__ = ["endpoints", "sources"]

_MOST = 100
_EVERY_S = 2.0
_log = logging.getLogger("borough.console")


class _Traced(msgspec.Struct):
    traceparent: str | None = None


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead event to be looked at. `body` is its document, masked; times are seconds since 1970."""

    handler: str
    event_id: str
    type: str
    key: str | None
    attempts: int
    died_at: float
    error: str
    cause: str
    frame: str
    holds: bool
    trace_id: str | None
    body: str


class _Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which are meant: those of a handler that failed alike, or one of them."""

    handler: str
    fingerprint: str | None = None
    event_id: str | None = None


def endpoints(desk: EventDesk) -> Iterable[Endpoint]:
    """Those of events."""

    async def survey(_: Asked) -> Response:
        groups = [_shown(group) for group in await desk.groups()]
        return json_answer({"topics": await desk.topics(), "dead": groups})

    async def dead(asked: Asked) -> Response:
        query = asked.query
        if not query.get("handler"):
            raise InvalidRequest("handler names whose dead letters are asked for")
        chosen = Selection(query["handler"], query.get("fingerprint"), query.get("event_id"))
        found = await desk.letters(chosen, _MOST + 1)
        letters = [_letter(event) for event in found[:_MOST]]
        return json_answer({"letters": letters, "more": len(found) > _MOST})

    async def replay(asked: Asked) -> Response:
        chosen = _chosen(asked)
        done = await desk.replay(chosen)
        late = sum(event.key is not None and not event.holds for event in done)
        _log.info("replayed from the console: %d dead letters of %s", len(done), chosen.handler)
        return json_answer({"events": len(done), "out_of_order": late})

    async def drop(asked: Asked) -> Response:
        chosen = _chosen(asked)
        done = await desk.drop(chosen)
        _log.info("dropped from the console: %d dead letters of %s", len(done), chosen.handler)
        return json_answer({"events": len(done)})

    yield Endpoint("GET", "/events", survey)
    yield Endpoint("GET", "/events/dead", dead)
    yield Endpoint("POST", "/events/replay", replay)
    yield Endpoint("POST", "/events/drop", drop)


def sources(desk: EventDesk) -> Sequence[Source]:
    """What of it is live."""

    async def read() -> Mapping[str, Mapping[str, Any]]:
        try:
            topics, groups = await desk.topics(), await desk.groups()
        except Unavailable:  # who asks for it is told; who follows it waits
            return {}
        return {
            "event-topics": {topic.topic: topic for topic in topics},
            "dead-letters": {f"{each.handler} {each.fingerprint}": _shown(each) for each in groups},
        }

    return (Source(("event-topics", "dead-letters"), read, _EVERY_S),)


def _chosen(asked: Asked) -> Selection:
    given = asked.body(_Chosen)
    if given.fingerprint is None and given.event_id is None:
        raise InvalidRequest("fingerprint or event_id says which dead letters are meant")
    return Selection(given.handler, given.fingerprint, given.event_id)


def _shown(group: DeadGroup) -> DeadGroup:
    return msgspec.structs.replace(group, cause=masked(group.cause))


def _letter(event: DeadEvent) -> Letter:
    return Letter(
        handler=event.handler,
        event_id=event.event_id,
        type=event.type,
        key=None if event.key is None else masked(event.key),
        attempts=event.attempts,
        died_at=event.died_at,
        error=event.error,
        cause=masked(event.cause),
        frame=event.frame,
        holds=event.holds,
        trace_id=_trace_of(event.body),
        body=masked(_pretty(event.body)),
    )


def _pretty(body: bytes) -> str:
    try:
        return msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")


def _trace_of(body: bytes) -> str | None:
    try:
        given = msgspec.json.decode(body, type=_Traced).traceparent
    except msgspec.DecodeError:
        return None
    context = None if given is None else read_traceparent(given)
    return None if context is None else context.trace_id
