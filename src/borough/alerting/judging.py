"""What rules say of what was measured: a reading for each rule and subject, with the sentence that names the cause.

Who calls somebody that is slow or fails is slow, or fails, too. So that the cause is seen and not its echoes, an
operation is no alert where what it calls explains it; then the alert of that names who waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice
from urllib.parse import urlencode

import msgspec

from borough.alerting.causes import Causes, mostly, room_of, want_of_room
from borough.alerting.facts import HandlerFacts, ReplicaFacts
from borough.alerting.measuring import Calls, Measuring
from borough.alerting.operations import (
    LATE,
    LEAST_CALLS,
    SHARE,
    Operation,
    Operations,
    is_slow,
    lost_kinds,
    lost_of,
)
from borough.alerting.words import counted, lasting
from borough.contracts.objective import Objective
from borough.reliability.alert_rules import METRICS, Rule
from borough.reliability.alerts import Reading
from borough.reliability.objectives import BURNS, Burn
from borough.runtime.topics import of_taken
from borough.telemetry.plain import shortened

__all__ = ["Judging"]

_LEAST_BURNED = 5
_AT_ONCE = 100
_LONGEST_WORDS = 160


class Judging:
    """The rules of one system. `team` says who is told of a service, or of what belongs to none."""

    def __init__(self, rules: tuple[Rule, ...], team: Callable[[str | None], str | None]) -> None:
        self._rules = rules
        self._team = team
        self._operations = Operations(Measuring(()))
        """Those of the latest look."""
        self._causes = Causes(Measuring(()), self._operations, rules)
        self._judges: Mapping[str, Callable[[Rule, Measuring], Iterator[Reading]]] = {
            "dead_letters": self._dead_letters,
            "failing_events": self._failing_events,
            "lag": self._lag,
            "lag_age": self._lag,
            "outbox": self._outbox,
            "unsent": self._unsent,
            "restarts": self._restarts,
            "not_ready": self._not_ready,
            "error_rate": self._error_rate,
            "timeout_rate": self._timeout_rate,
            "latency": self._latency,
            "usage": self._usage,
            "refusals": self._refusals,
        }

    def readings(self, seen: Measuring, now: float) -> Iterator[Sequence[Reading]]:
        """Everything that the rules say now, a few at a time: whoever asks lets others work in between."""
        self._operations = Operations(seen)
        self._causes = Causes(seen, self._operations, self._rules)
        for rule in self._rules:
            found = self._judges[rule.metric](rule, seen)
            while some := tuple(islice(found, _AT_ONCE)):
                yield [each for each in some if not rule.services or each.service in rule.services]
        yield [reading for each in seen.spent for reading in self._burns(each, seen, now)]

    def _reading(
        self,
        rule: Rule,
        subject: str,
        service: str | None,
        value: float,
        summary: str,
        look: str,
        *,
        is_spared: bool = False,
    ) -> Reading:
        return Reading(
            rule=rule.name,
            subject=subject,
            service=service,
            team=self._team(service),
            severity=rule.severity,
            is_breached=value > rule.above and not is_spared,
            value=round(value, 3),
            threshold=rule.above,
            unit=METRICS[rule.metric].unit,
            for_s=rule.for_s,
            summary=summary,
            look=look,
            runbook=rule.runbook,
        )

    # --- events ------------------------------------------------------------------------------------

    def _dead_letters(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for facts in seen.handlers.values():
            said = f"{facts.name} has given up {counted(facts.dead, 'event')} of {facts.topic}{_of(facts.dead, facts)}"
            said += f", the latest with {facts.dead_cause}" if facts.dead_cause else ""
            said += f"; events of {counted(facts.keys, 'key')} wait" if facts.keys else ""
            subject = f"{facts.name} {facts.topic}"
            look = f"#/events?{urlencode({'dead': facts.name})}"
            yield self._reading(rule, subject, facts.service, facts.dead, f"{said}.", look)

    def _failing_events(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for facts in seen.handlers.values():
            said = f"{facts.name} fails at {counted(facts.failing, 'event')} of {facts.topic}"
            said += _of(facts.failing, facts)
            said += f", tried {counted(facts.attempts, 'time')} so far"
            said += f": {facts.cause}" if facts.cause else ""
            if facts.behind_failing:
                said += f"; {facts.behind_failing} more of the same key wait behind"
            subject = f"{facts.name} {facts.topic}"
            look = _consumer(facts.name, facts.topic)
            yield self._reading(rule, subject, facts.service, facts.failing, said, look)

    def _lag(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for key, facts in seen.handlers.items():
            waiting = max(0, facts.end - facts.place)
            said = self._lagging(seen, key, waiting)
            value = seen.ages[key] if rule.metric == "lag_age" else waiting
            yield self._reading(rule, " ".join(key), facts.service, value, said, _consumer(*key))

    def _lagging(self, seen: Measuring, key: tuple[str, str], waiting: int) -> str:
        name, topic = key
        rate = seen.handled_per_s[key]
        does = f"it has handled {f'{rate:.2g} a second' if rate else 'none'} in the last minute"
        return (
            f"{name} lags behind: {counted(waiting, 'event')} of {topic} wait{'s' if waiting == 1 else ''} for it, "
            f"the oldest for {lasting(seen.ages[key])}; {does}."
        )

    def _outbox(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for service, waiting in seen.outboxes.items():
            said = f"{counted(waiting, 'event')} of {service} wait in its outbox: the broker does not take them."
            look = f"#/events?{urlencode({'publisher': service})}"
            yield self._reading(rule, service, service, waiting, said, look)

    def _unsent(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for service, waiting in seen.outboxes.items():
            why = seen.unsent.get(service)
            value = 0 if why is None else waiting
            said = f"{counted(value, 'event')} of {service} wait, and the broker takes none: {why}"
            yield self._reading(rule, service, service, value, said, "#/events")

    # --- processes ---------------------------------------------------------------------------------

    def _restarts(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for replica in seen.facts.replicas:
            times = seen.restarts.get(replica.name, 0)
            runs = ", ".join(replica.services)
            named = f"{replica.name}, which runs {runs}," if runs else replica.name
            said = f"{named} crashes again and again: it has ended by itself {counted(times, 'time')} in 5 minutes"
            if replica.state == "failed":
                said = f"{said} and stays down" if times else f"{named} stays down"
                times = max(times, int(rule.above) + 1)
            said += f" ({_trouble(replica)})" if replica.trouble else ""
            service = replica.services[0] if replica.services else None
            look = "#/map" if service is None else f"#/services/{service}"
            yield self._reading(rule, replica.name, service, times, f"{said}.", look)

    def _not_ready(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for service, is_answered in seen.facts.answered.items():
            said = f"Nobody answers for {service}: no process that runs it is ready"
            troubles = [
                _trouble(each)
                for each in seen.facts.replicas
                if service in each.services and each.trouble
            ]
            said += f" ({'; '.join(troubles)})." if troubles else "."
            value = 0.0 if is_answered else 1.0
            yield self._reading(rule, service, service, value, said, f"#/services/{service}")

    # --- calls -------------------------------------------------------------------------------------

    def _error_rate(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        bad = self._above(rule.above, lambda each: each.calls.faults)
        lost = self._lost_above()
        is_explained = self._operations.explained(bad | lost, lambda each: each.faults)
        for operation in self._operations.by_name.values():
            calls = operation.calls
            value = _percent(calls.faults, calls.count)
            said = (
                f"{operation.name} fails: {calls.faults} of {counted(calls.count, 'call')} "
                f"in the last minute{mostly(seen, calls.kinds)}"
            )
            is_spared = (
                calls.faults < LEAST_CALLS
                or not operation.recent.faults
                or operation.name in lost
                or is_explained(operation)
            )
            asked = {"status": "error"}
            yield self._suffering(rule, operation, value, said, asked, is_spared=is_spared)

    def _timeout_rate(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        bad = self._above(rule.above, lambda each: each.lost)
        is_explained = self._operations.explained(bad, lambda each: lost_of(seen, each))
        for operation in self._operations.by_name.values():
            calls, lost = operation.calls, operation.lost
            value = _percent(lost, calls.count)
            said = (
                f"{operation.service} gets no answer from whom it needs: {lost} of "
                f"{counted(calls.count, 'call')} of {operation.name} in the last minute ended so"
                f"{mostly(seen, lost_kinds(seen, calls))}"
            )
            is_spared = lost < LEAST_CALLS or not operation.recently_lost or is_explained(operation)
            asked = {"status": "error"}
            yield self._suffering(rule, operation, value, said, asked, is_spared=is_spared)
        yield from self._external_timeouts(rule, seen)

    def _external_timeouts(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        """Calls to whom no process here answers for: a service elsewhere, seen by who calls it."""
        for line, calls in seen.calls.items():
            if line.side != "client" or line.service in seen.facts.answered:
                continue
            lost = _unanswered(calls)
            said = (
                f"{line.service}, which is elsewhere, does not answer {line.caller}: {lost} of "
                f"{counted(calls.count, 'call')} of {line.operation} in the last minute"
                f"{mostly(seen, calls.kinds)}."
            )
            look = f"#/traces?{urlencode({'service': line.caller, 'status': 'error'})}"
            subject, value = f"{line.caller} {line.operation}", _percent(lost, calls.count)
            is_spared = lost < LEAST_CALLS or not _unanswered(seen.recent[line])
            yield self._reading(rule, subject, line.caller, value, said, look, is_spared=is_spared)

    def _latency(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        bound_s = rule.above / 1e3
        slow = {
            name
            for name, each in self._operations.by_name.items()
            if name not in seen.streams and is_slow(each.calls, bound_s)
        }
        lost = self._lost_above()
        is_explained = self._operations.explained(
            slow | lost, lambda each: round(each.slower_than(bound_s))
        )
        for operation in self._operations.by_name.values():
            if operation.name in seen.streams:
                continue
            calls = operation.calls
            took_s = calls.quantile_s(SHARE)
            said = (
                f"{operation.name} is slow: of {counted(calls.count, 'call')} in the last minute "
                f"5 % took {lasting(took_s)} or more, half {lasting(calls.quantile_s(0.5))} or more"
                f"{_waiting(operation.callers, operation.service)}"
            )
            is_spared = (
                operation.name not in slow
                or operation.recent.quantile_s(SHARE) <= bound_s
                or operation.name in lost
                or is_explained(operation)
            )
            asked = {"at_least_ms": f"{rule.above:g}"}
            took_ms = took_s * 1e3
            yield self._suffering(rule, operation, took_ms, said, asked, is_spared=is_spared)

    def _suffering(
        self,
        rule: Rule,
        operation: Operation,
        value: float,
        said: str,
        asked: Mapping[str, str],
        *,
        is_spared: bool,
    ) -> Reading:
        """What an operation suffers, what may be the cause, and the traces that are to be `asked` for."""
        service = operation.service
        if value > rule.above and not is_spared:
            said += self._causes.of(service)
        look = f"#/traces?{urlencode({'service': service, **asked})}"
        return self._reading(
            rule, operation.name, service, value, f"{said}.", look, is_spared=is_spared
        )

    def _above(self, bound: float, of: Callable[[Operation], int]) -> set[str]:
        return {
            name
            for name, each in self._operations.by_name.items()
            if of(each) >= LEAST_CALLS and _percent(of(each), each.calls.count) > bound
        }

    def _lost_above(self) -> set[str]:
        """Operations that the rule of timeouts names: they are told of once."""
        rule = next((each for each in self._rules if each.metric == "timeout_rate"), None)
        return set() if rule is None else self._above(rule.above, lambda each: each.lost)

    # --- room --------------------------------------------------------------------------------------

    def _usage(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        for (service, kind), pool in seen.pools.items():
            option = "limits.calls_in_flight" if kind == "calls" else "limits.threads"
            said = f"{service} {want_of_room(pool)}: {room_of(seen, pool)} ({option})"
            value = seen.taken_percent(pool)
            if value > rule.above:
                said += _waiting(self._operations.callers_of(service), service)
                said += self._causes.below(service)
            look = f"#/services/{service}"
            yield self._reading(rule, f"{service} {kind}", service, value, f"{said}.", look)

    def _refusals(self, rule: Rule, seen: Measuring) -> Iterator[Reading]:
        """Where no rule tells of the room itself, and as early."""
        fulls = [
            each for each in self._rules if each.metric == "usage" and each.for_s <= rule.for_s
        ]
        for service, refused in seen.refused.items():
            pools = [each for each in seen.pools.values() if each.service == service]
            taken = max((seen.taken_percent(pool) for pool in pools), default=0.0)
            said = f"{service} has refused {counted(refused, 'call')} for lack of room in the last minute."
            is_told = any(
                taken > full.above and (not full.services or service in full.services)
                for full in fulls
            )
            is_spared = is_told or not seen.refused_lately(service)
            look = f"#/services/{service}"
            yield self._reading(rule, service, service, refused, said, look, is_spared=is_spared)

    # --- objectives --------------------------------------------------------------------------------

    def _burns(self, objective: Objective, seen: Measuring, now: float) -> Iterator[Reading]:
        """The fastest that is breached stands for the slower ones; one of those that is open stays."""
        spent, is_told = seen.spent[objective], False
        for burn in BURNS:
            rates = spent.rates(now, objective, burn)
            count, bad = spent.within(now, burn.long_s)
            value = min(rates) if len(rates) > 1 else 0.0
            is_breached = value > burn.factor and bad >= _LEAST_BURNED
            reading = self._burn(objective, burn, value, _percent(bad, count))
            yield msgspec.structs.replace(
                reading,
                is_breached=is_breached and not is_told,
                is_covered=is_breached and is_told,
            )
            is_told = is_told or is_breached

    def _burn(self, objective: Objective, burn: Burn, value: float, percent: float) -> Reading:
        service = objective.service
        what = "failed" if objective.bound_s is None else f"took over {lasting(objective.bound_s)}"
        return Reading(
            rule=f"{objective.kind}-{burn.name}-burn",
            subject=service,
            service=service,
            team=self._team(service),
            severity=burn.severity,
            is_breached=False,
            value=round(value, 2),
            threshold=burn.factor,
            unit="x",
            for_s=0.0,
            summary=(
                f"{service} burns the budget of its objective {objective.text} {value:.3g} times too fast: "
                f"{percent:.3g} % of calls {what} within {lasting(burn.long_s)}."
            ),
            look=f"#/services/{service}",
        )


def _consumer(name: str, topic: str) -> str:
    """Where the console shows how a handler is with a topic."""
    return f"#/events?{urlencode({'consumer': name, 'topic': topic})}"


def _of(part: int, facts: HandlerFacts) -> str:
    """Of how many these are: what has been taken of all topics is all that is counted."""
    said = of_taken(part, facts.heard) if facts.heard else ""
    return f", {said}" if said else ""


def _trouble(replica: ReplicaFacts) -> str:
    """Why a place is not filled, with what its process said last."""
    last = replica.last_words[-1] if replica.last_words else ""
    last = shortened(last, _LONGEST_WORDS)
    return f'{replica.trouble}; it said last: "{last}"' if last else str(replica.trouble)


def _unanswered(calls: Calls) -> int:
    """How many calls to a service elsewhere got no answer."""
    return sum(calls.kinds.get(kind, 0) for kind in (LATE, "unavailable"))


def _waiting(callers: Set[str], service: str) -> str:
    others = sorted(callers - {"", service})
    wait = "waits" if len(others) == 1 else "wait"
    return f"; {' and '.join(others)} {wait} for it" if others else ""


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
