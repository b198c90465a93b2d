"""What may be the cause of what a service's operations suffer: no room of its own, or somebody whom it calls.

It is named beside the alert and hides none: a service without room may be the cause of those that wait for it, and
as well the echo of somebody who does not answer it and is not seen from here. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from borough import errors
from borough.alerting.facts import PoolFacts
from borough.alerting.measuring import Calls, Measuring
from borough.alerting.operations import LEAST_CALLS, SHARE, Operation, Operations, is_slow
from borough.alerting.words import counted, lasting
from borough.reliability.alert_rules import Rule
from borough.reliability.enough_time import TOO_LITTLE_TIME

__all__ = ["Causes", "mostly", "room_of", "want_of_room"]

_FAULT = 500
"""Problems of a lower status are no fault of who answers."""
_BY_CALLERS = {TOO_LITTLE_TIME, "cancelled"} | {
    each.code
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.CallError) and each.status < _FAULT
}
"""By `error.type`, what callers have brought about."""


class Causes:
    """Those of one look. What is asked for is found then: most services are well."""

    def __init__(self, seen: Measuring, operations: Operations, rules: Collection[Rule]) -> None:
        self._seen = seen
        self._operations = operations
        above = {rule.metric: rule.above for rule in rules}
        self._bound_s = above["latency"] / 1e3 if "latency" in above else float("inf")
        self._short = dict(_short_of_room(seen, above.get("usage", 100.0)))

    def of(self, service: str) -> str:
        """A clause for the end of a sentence about an operation of the service; empty where nothing is known."""
        room = self._short.get(service)
        own = f"; {service} itself {room}" if room else ""
        return own + self.below(service)

    def below(self, service: str) -> str:
        """The same of what the service calls."""
        worst: tuple[int, int, str] = 0, 0, ""
        for operation, calls in self._operations.called_by(service):
            if operation.service != service:
                worst = max(worst, self._judged(operation, calls))
        return worst[2]

    def _judged(self, operation: Operation, calls: Calls) -> tuple[int, int, str]:
        """How likely a callee is the cause, how much of it there is, and what is said."""
        is_failing = calls.faults >= LEAST_CALLS
        is_late = operation.name not in self._seen.streams and is_slow(calls, self._bound_s)
        if not is_failing and not is_late:
            return 0, 0, ""
        room = self._short.get(operation.service)
        if room is not None:
            said = f"; it calls {operation.service}, which {room}"
            return 3, calls.faults, said
        lately = f"; of its {counted(calls.count, 'call')} of {operation.name} in the last minute"
        if is_failing:
            said = f"{lately} {calls.faults:,} failed"
            return 2, calls.faults, said + mostly(self._seen, calls.kinds)
        most, half = lasting(calls.quantile_s(SHARE)), lasting(calls.quantile_s(0.5))
        return 1, calls.count, f"{lately} 5 % took {most} or more, half {half} or more"


def mostly(seen: Measuring, kinds: dict[str, int]) -> str:
    """Which fault was the most frequent of these, and what its contract says of it."""
    faults = {kind: count for kind, count in kinds.items() if _is_fault(seen, kind)}
    if not faults:
        return ""
    kind = max(faults, key=lambda each: faults[each])
    known = seen.problems.get(kind)
    return f", mostly with {kind}" + (f" ({known.doc})" if known else "")


def want_of_room(pool: PoolFacts) -> str:
    """What a room that is full says of its service; one that has refused calls may be free at the look."""
    is_free = pool.busy + pool.waiting < pool.limit
    return "runs out of room at times" if is_free else "has no room left"


def _is_fault(seen: Measuring, kind: str) -> bool:
    known = seen.problems.get(kind)
    return kind not in _BY_CALLERS if known is None else known.status >= _FAULT


def room_of(seen: Measuring, pool: PoolFacts) -> str:
    """What is taken of a limit, who waits, and what was refused."""
    what = "calls are at work" if pool.kind == "calls" else "threads are taken"
    refused = seen.refused_by.get((pool.service, pool.kind), 0)
    said = f"{pool.busy} of {pool.limit} {what}"
    said += f", {pool.waiting} wait" if pool.waiting else ""
    return said + (f", {counted(refused, 'call')} refused in the last minute" if refused else "")


def _short_of_room(seen: Measuring, above: float) -> Iterator[tuple[str, str]]:
    for pool in seen.pools.values():
        if seen.taken_percent(pool) > above:
            yield pool.service, f"{want_of_room(pool)} ({room_of(seen, pool)})"
