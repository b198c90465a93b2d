"""Dead letters that failed alike, with what is counted of their handler: they stand in no topic of their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from borough.runtime.dead_letters import DeadGroup
from borough.runtime.topics import TopicState, of_taken

__all__ = ["dead_now"]


class GroupNow(DeadGroup, frozen=True):
    """See `DeadGroup`. `of_taken` says of how many events the handler's dead letters are, empty where that is not
    known; `keys` are those of its parked events."""

    of_taken: str = ""
    keys: int = 0


def dead_now(groups: Iterable[DeadGroup], topics: Iterable[TopicState]) -> Sequence[GroupNow]:
    """The same groups, in the same order."""
    heard: dict[str, int] = {}
    dead: dict[str, int] = {}
    keys: dict[str, int] = {}
    for handler in (handler for topic in topics for handler in topic.handlers):
        name = handler.name
        if handler.heard is not None:
            heard[name] = handler.heard  # of all its topics, in each of them
        dead[name] = dead.get(name, 0) + handler.dead
        keys[name] = keys.get(name, 0) + handler.keys
    return [
        GroupNow(
            **msgspec.structs.asdict(each),
            of_taken=of_taken(dead[each.handler], heard[each.handler])
            if each.handler in heard
            else "",
            keys=keys.get(each.handler, 0),
        )
        for each in groups
    ]
