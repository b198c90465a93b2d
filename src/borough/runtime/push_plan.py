"""Which events go to which receiver (`[push.NAME]`): for each publishing service, as handlers of its own.

A receiver of the events of several services is several handlers, each in its publisher's database: it runs
where the publisher runs, and stops with it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping

import msgspec

from borough.contracts.operation import BoundEvent, Contract
from borough.errors import ConfigurationError
from borough.runtime.options import Options, PushOptions

__all__ = ["PushPlan", "plan_pushes", "receiver_of"]

_PUSHED = ".push-"
_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")


class PushPlan(msgspec.Struct, frozen=True):
    """Events of one topic on their way to one receiver. `name` is that of the handler, and durable."""

    target: str
    service: str
    topic: str
    events: tuple[BoundEvent, ...]

    @property
    def name(self) -> str:
        """`orders.push-NAME`; a service with several topics has a handler of this name for each."""
        return f"{self.service}{_PUSHED}{self.target}"


def receiver_of(handler: str) -> str | None:
    """The receiver that a handler of this name pushes to; None for one that is no push."""
    _, found, target = handler.partition(_PUSHED)
    return target if found else None


def plan_pushes(options: Options, contracts: Iterable[Contract]) -> list[PushPlan]:
    """What borough.toml wants to be pushed of these contracts.

    Raises `ConfigurationError` for what no contract publishes. Of a service that is only a name in
    borough.toml nothing is known here, and another process looks after it.
    """
    publishing = {each.wire_name: each for each in contracts if each.events}
    silent = set(options.services) - {each.service for each in publishing.values()}
    found: list[PushPlan] = []
    for target, push in sorted(options.push.items()):
        if not _NAME.match(target):
            raise ConfigurationError(
                f"push.{target} is no name: use lower-case letters, digits, - and _"
            )
        found += [
            PushPlan(target, publishing[topic].service, topic, events)
            for topic, events in sorted(_chosen(target, push, publishing, silent).items())
        ]
    return found


def _chosen(
    target: str, push: PushOptions, publishing: Mapping[str, Contract], silent: Collection[str]
) -> dict[str, tuple[BoundEvent, ...]]:
    """The events of each topic that one receiver wants."""
    known = {name: event for each in publishing.values() for name, event in each.events.items()}
    wanted: dict[str, set[str]] = {}
    for topic in push.topics:
        if topic in publishing:
            wanted.setdefault(topic, set()).update(publishing[topic].events)
        elif topic.partition(".")[0] not in silent:
            raise _unknown(f"push.{target}.topics", topic, publishing)
    for name in push.events:
        if name in known:
            wanted.setdefault(known[name].topic, set()).add(name)
        elif name.partition(".")[0] not in silent:
            raise _unknown(f"push.{target}.events", name, known)
    if not push.topics and not push.events:
        raise ConfigurationError(
            f"push.{target} sends nothing: name events or topics, such as "
            f"{', '.join(sorted(known)[:2]) or 'orders.Orders.OrderPaid'}"
        )
    return {
        topic: tuple(
            event for name, event in publishing[topic].events.items() if name in wanted[topic]
        )
        for topic in wanted
    }


def _unknown(option: str, name: str, known: Iterable[str]) -> ConfigurationError:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"
    return ConfigurationError(f"{option} has {name}, which no contract here publishes; {meant}")
