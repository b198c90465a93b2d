"""Events: `GET /console/api/events`, `/events/dead`; `POST /events/replay` and `/events/drop`.

Live are the topics `event-topics`, by topic, and `dead-letters`, by `HANDLER FINGERPRINT`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from borough.alerting.alerting import Alerting
from borough.console.dead_now import dead_now
from borough.console.endpoint import Asked, Endpoint, json_answer
from borough.console.event_desk import EventDesk
from borough.console.event_paces import topics_now
from borough.console.live import Source
from borough.errors import InvalidRequest
from borough.runtime.dead_letters import Selection
from borough.transports.http.message import Response

__all__ = ["endpoints", "sources"]

_EVERY_S = 2.0
_log = logging.getLogger("borough.console")


class _Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which are meant: those of a handler that failed alike, or one of them."""

    handler: str
    fingerprint: str | None = None
    event_id: str | None = None


def endpoints(desk: EventDesk, alerting: Alerting) -> Iterable[Endpoint]:
    """Those of events."""

    async def survey(_: Asked) -> Response:
        view = await desk.survey()
        topics = topics_now(view.topics, alerting.paces())
        return json_answer({"topics": topics, "dead": dead_now(view.dead, view.topics)})

    async def dead(asked: Asked) -> Response:
        query = asked.query
        if not query.get("handler"):
            raise InvalidRequest("handler names whose dead letters are asked for")
        chosen = Selection(query["handler"], query.get("fingerprint"), query.get("event_id"))
        return json_answer(await desk.look(chosen))

    async def replay(asked: Asked) -> Response:
        chosen = _chosen(asked)
        done = await desk.replay(chosen)
        _log.info("replayed from the console: %d dead letters of %s", done.events, chosen.handler)
        return json_answer(done)

    async def drop(asked: Asked) -> Response:
        chosen = _chosen(asked)
        done = await desk.drop(chosen)
        _log.info("dropped from the console: %d dead letters of %s", done.events, chosen.handler)
        return json_answer(done)

    yield Endpoint("GET", "/events", survey)
    yield Endpoint("GET", "/events/dead", dead)
    yield Endpoint("POST", "/events/replay", replay)
    yield Endpoint("POST", "/events/drop", drop)


def sources(desk: EventDesk, alerting: Alerting) -> Sequence[Source]:
    """What of it is live."""

    async def read() -> Mapping[str, Mapping[str, Any]]:
        view = await desk.survey()
        return {
            "event-topics": {
                topic.topic: topic for topic in topics_now(view.topics, alerting.paces())
            },
            "dead-letters": {
                f"{each.handler} {each.fingerprint}": each
                for each in dead_now(view.dead, view.topics)
            },
        }

    return (Source(("event-topics", "dead-letters"), read, _EVERY_S),)


def _chosen(asked: Asked) -> Selection:
    given = asked.body(_Chosen)
    if given.fingerprint is None and given.event_id is None:
        raise InvalidRequest("fingerprint or event_id says which dead letters are meant")
    return Selection(given.handler, given.fingerprint, given.event_id)
