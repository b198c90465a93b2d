"""Topics and dead letters of a fleet: its door holds no database, so a replica of the service is asked.

Each replica knows what lies in its own services' databases; of what another one holds it says nothing,
or zero. Put together, each number is that of whoever has it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import msgspec

from borough.console.endpoint import json_answer
from borough.console.event_desk import Done, EventDesk, EventsView, Letters
from borough.console.told import EVENTS
from borough.contracts.unreadable import UNREADABLE
from borough.errors import InvalidRequest, NotFound, ServiceFailure, Unavailable
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.segments import Handler
from borough.runtime.dead_letters import Selection
from borough.runtime.topics import HandlerState, TopicState
from borough.transports.http.message import Request, Response

__all__ = ["FleetEvents", "telling"]

T = TypeVar("T")


class Question(msgspec.Struct, frozen=True):
    """What the door asks of a replica's dead letters."""

    act: Literal["look", "replay", "drop"]
    chosen: Selection


def telling(desk: EventDesk) -> Handler:
    """How a replica answers its door at `EVENTS`: a survey (GET), a `Question` (POST)."""

    async def answer(request: Request) -> Response:
        if request.method == "GET":
            return json_answer(await desk.survey())
        try:
            question = msgspec.json.decode(request.body, type=Question)
        except UNREADABLE as error:
            raise InvalidRequest(f"this is no question about events: {error}") from None
        if question.act == "look":
            return json_answer(await desk.look(question.chosen))
        act = desk.replay if question.act == "replay" else desk.drop
        return json_answer(await act(question.chosen))

    return answer


class FleetEvents:
    """See `EventDesk`. `told` has every replica's survey."""

    def __init__(
        self, edge: EdgeProcess, told: Callable[[], Awaitable[Sequence[EventsView]]]
    ) -> None:
        self._edge = edge
        self._told = told

    async def survey(self) -> EventsView:
        """See `EventDesk`."""
        views = await self._told()
        if not views:
            raise Unavailable("No service has told yet which events it has", retry_after_s=1)
        topics: dict[str, TopicState] = {}
        for topic in (topic for view in views for topic in view.topics):
            known = topics.get(topic.topic)
            topics[topic.topic] = topic if known is None else _merged(known, topic)
        dead = {(each.handler, each.fingerprint): each for view in views for each in view.dead}
        return EventsView(
            topics=[topics[name] for name in sorted(topics)],
            dead=sorted(dead.values(), key=lambda group: -group.last_at),
        )

    async def look(self, chosen: Selection) -> Letters:
        """See `EventDesk`."""
        return await self._ask("look", chosen, Letters)

    async def replay(self, chosen: Selection) -> Done:
        """See `EventDesk`."""
        return await self._ask("replay", chosen, Done)

    async def drop(self, chosen: Selection) -> Done:
        """See `EventDesk`."""
        return await self._ask("drop", chosen, Done)

    async def _ask(
        self, act: Literal["look", "replay", "drop"], chosen: Selection, kind: type[T]
    ) -> T:
        service = (chosen.handler or "").partition(".")[0]
        if service not in self._edge.services:
            raise NotFound(f"No service named {service} keeps dead letters here")
        replicas = self._edge.discovery.replicas(service)
        if not replicas:
            raise Unavailable(f"No replica of {service} takes calls now", retry_after_s=1)
        body = msgspec.json.encode(Question(act, chosen))
        answer = await self._edge.ask(service, replicas[0], EVENTS, body)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except UNREADABLE as error:
            raise ServiceFailure(
                f"What {service} tells of its events cannot be read: {error}"
            ) from None


def _merged(one: TopicState, other: TopicState) -> TopicState:
    handlers = {handler.name: handler for handler in one.handlers}
    for handler in other.handlers:
        known = handlers.get(handler.name)
        handlers[handler.name] = handler if known is None else _further(known, handler)
    asked = [each.facts for each in (one, other) if each.facts is not None]
    return TopicState(
        one.topic,
        one.retains,
        max(asked, key=lambda facts: facts.end) if asked else None,
        max(one.outbox, other.outbox),
        max(one.scheduled, other.scheduled),
        [handlers[name] for name in sorted(handlers)],
        None if asked else one.unasked,
    )


def _further(one: HandlerState, other: HandlerState) -> HandlerState:
    return HandlerState(
        one.name,
        other.behind if one.behind is None else one.behind,
        max(one.parked, other.parked),
        max(one.dead, other.dead),
        max(one.keys, other.keys),
        other.heard if one.heard is None else one.heard,
    )
