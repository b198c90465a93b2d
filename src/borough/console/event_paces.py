"""Topics with how their handlers get on: what lies in the databases, and what those who judge alerts have seen.

Where both say how far a handler is, the numbers are those of one look, lest a page contradicts itself. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from borough.alerting.pace import Pace, Paces
from borough.ports import TopicFacts
from borough.runtime.topics import HandlerState, TopicState

__all__ = ["topics_now"]


class HandlerNow(HandlerState, frozen=True):
    """See `HandlerState`. `pace` is null where nothing tells of it."""

    pace: Pace | None = None


class TopicNow(msgspec.Struct, frozen=True, kw_only=True):
    """See `TopicState`. `published_per_s` is that of the last minute, null where nobody tells."""

    topic: str
    retains: str
    facts: TopicFacts | None
    outbox: int
    scheduled: int
    handlers: Sequence[HandlerNow]
    unasked: str | None
    published_per_s: float | None


def topics_now(topics: Iterable[TopicState], paces: Paces) -> Sequence[TopicNow]:
    """The same topics, in the same order."""
    return [
        TopicNow(
            topic=each.topic,
            retains=each.retains,
            facts=each.facts,
            outbox=each.outbox,
            scheduled=each.scheduled,
            handlers=[
                _handler(handler, paces.consumers.get((handler.name, each.topic)))
                for handler in each.handlers
            ],
            unasked=each.unasked,
            published_per_s=paces.topics.get(each.topic),
        )
        for each in topics
    ]


def _handler(handler: HandlerState, pace: Pace | None) -> HandlerNow:
    now = HandlerNow(**msgspec.structs.asdict(handler), pace=pace)
    return now if pace is None else msgspec.structs.replace(now, behind=pace.waiting)
