"""The alerts that a system declares, as alert rules of Prometheus.

A rule stands there once for each team, with its services, so that Alertmanager knows by the label `team` whom to
tell. The questions are those of `promql`; where Borough looks at a minute, so does Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from borough.contracts.objective import Objective, objectives_of
from borough.contracts.operation import Contract
from borough.observing.exports import promql
from borough.reliability.alert_rules import Rule
from borough.reliability.objectives import BURNS, Burn

__all__ = ["Owned", "Promised", "promised", "rules_document"]

_WINDOW = "1m"
_RESTARTS_WINDOW = "5m"
_LATE = "deadline-exceeded"
_NO_ANSWER = (502, 504)
Lines = Mapping[str, Any]


class Owned(msgspec.Struct, frozen=True):
    """Services of one team, or of none."""

    team: str | None
    services: tuple[str, ...]


class Promised(msgspec.Struct, frozen=True):
    """What contracts say of that which rules ask for."""

    unanswered: tuple[str, ...] = (_LATE,)
    """The `error.type` of calls that got no answer from whom they needed: late ones, and problems that say so."""
    objectives: tuple[Objective, ...] = ()
    streams: Mapping[str, tuple[str, ...]] = {}
    """The operations of each service that have no usual length."""


def promised(contracts: Sequence[Contract]) -> Promised:
    """Read it from the contracts of a system."""
    operations = [each for contract in contracts for each in contract.operations.values()]
    problems = {
        problem.__name__
        for operation in operations
        for problem in operation.mark.raises
        if problem.status in _NO_ANSWER
    }
    streams: dict[str, tuple[str, ...]] = {}
    for operation in operations:
        if operation.stream:
            service = operation.contract.service
            method = operation.wire_name.rpartition(".")[2]
            streams[service] = (*streams.get(service, ()), method)
    objectives = tuple(
        objective
        for contract in contracts
        for objective in objectives_of(
            contract.service, contract.mark.availability, contract.mark.latency
        )
    )
    return Promised((_LATE, *sorted(problems)), objectives, streams)


def rules_document(
    system: str,
    rules: Sequence[Rule],
    objectives: Sequence[Objective],
    owned: Iterable[Owned],
    promises: Promised | None = None,
) -> Lines:
    """The file that `rule_files` names. Of one aim, what `objectives` say stands for what a contract says."""
    promises = promises or Promised()
    aims = {(each.service, each.kind): each for each in (*promises.objectives, *objectives)}
    errors = "|".join(promises.unanswered)
    groups: list[Lines] = []
    for each in owned:
        found = [line for rule in rules for line in _of_rule(rule, each, errors)]
        found += [
            _of_burn(objective, burn, each.team, promises.streams.get(objective.service, ()))
            for objective in aims.values()
            if objective.service in each.services
            for burn in BURNS
        ]
        if found:
            groups.append(
                {"name": f"{system}: {each.team or 'services of no team'}", "rules": found}
            )
    return {"groups": groups}


def _of_rule(rule: Rule, owned: Owned, errors: str) -> Iterator[Lines]:
    services = [name for name in owned.services if not rule.services or name in rule.services]
    if not services:
        return
    if rule.metric == "not_ready":
        for name in services:
            alert = _alert(rule, owned.team, promql.absent(name), f"nobody answers for {name}")
            yield {**alert, "labels": {**alert["labels"], "service_name": name}}
        return
    select = promql.of_services(services)
    if rule.metric == "timeout_rate":
        expression = _above(promql.failing_share(select, _WINDOW, errors), rule, 100)
    else:
        expression = _QUERIES[rule.metric](select, rule)
    yield _alert(rule, owned.team, expression, _SUMMARIES[rule.metric])


def _alert(rule: Rule, team: str | None, expression: str, summary: str) -> Lines:
    return {
        "alert": rule.name,
        "expr": expression,
        **({"for": _lasting(rule.for_s)} if rule.for_s else {}),
        "labels": {"severity": rule.severity, **({"team": _verbatim(team)} if team else {})},
        "annotations": {
            "summary": summary,
            "description": rule.condition,
            **({"runbook_url": _verbatim(rule.runbook)} if rule.runbook else {}),
        },
    }


def _of_burn(objective: Objective, burn: Burn, team: str | None, streams: Sequence[str]) -> Lines:
    bound = f"{burn.factor * (1 - objective.share):.6g}"
    windows = [_span(seconds) for seconds in (burn.long_s, burn.short_s)]
    bad = [f"({_bad_share(objective, window, streams)}) > {bound}" for window in windows]
    return {
        "alert": f"{objective.kind}-{burn.name}-burn",
        "expr": " and ".join(bad),
        "labels": {
            "severity": burn.severity,
            **({"team": _verbatim(team)} if team else {}),
            "service_name": objective.service,
        },
        "annotations": {
            "summary": f"{objective.service} uses up what its objective of {objective.text} leaves, "
            f"more than {burn.factor:g} times too fast",
            "description": f"{windows[0]} and {windows[1]} above {bound}",
        },
    }


def _bad_share(objective: Objective, window: str, streams: Sequence[str]) -> str:
    select = promql.of_services([objective.service])
    if objective.bound_s is None:
        return promql.fault_share(select, window)
    if streams:
        select += f', rpc_method!~"{"|".join(sorted(streams))}"'
    return promql.slow_share(select, window)


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= length and not seconds % length:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _lasting(seconds: float) -> str:
    """Prometheus reads whole numbers of a unit, and none of zero."""
    thousandths = max(1, round(seconds * 1000))
    return f"{thousandths}ms" if thousandths % 1000 else f"{thousandths // 1000}s"


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else repr(value)


def _verbatim(text: str) -> str:
    """A text in a place that Prometheus reads as a template."""
    return text.replace("{{", '{{"{{"}}')


def _above(query: str, rule: Rule, scale: float = 1.0) -> str:
    """A metric's value is in the unit of its rule, where Prometheus has shares and seconds."""
    value = query if scale == 1.0 else f"{scale:g} * ({query})"
    return f"{value} > {_number(float(rule.above))}"


def _usage(select: str, rule: Rule) -> str:
    calls, threads = (promql.full_share(kind, select) for kind in ("calls", "threads"))
    return f"{_above(calls, rule, 100)} or {_above(threads, rule, 100)}"


def _late(select: str, rule: Rule) -> str:
    if not rule.above:  # whatever waits, waits too long
        return f"{promql.handler_gauge('lag', select)} > 0"
    return f"{promql.late_lag(select, _lasting(rule.above))} > 0"


_QUERIES: Mapping[str, Callable[[str, Rule], str]] = {
    "dead_letters": lambda select, rule: _above(promql.handler_gauge("dead", select), rule),
    "failing_events": lambda select, rule: _above(promql.handler_gauge("parked", select), rule),
    "lag": lambda select, rule: _above(promql.handler_gauge("lag", select), rule),
    "lag_age": _late,
    "outbox": lambda select, rule: _above(promql.outbox(select), rule),
    "unsent": lambda select, rule: _above(promql.unsent(select), rule),
    "restarts": lambda select, rule: _above(
        promql.service_restarts(select, _RESTARTS_WINDOW), rule
    ),
    "error_rate": lambda select, rule: _above(
        promql.fault_share(select, _WINDOW, promql.OPERATION), rule, 100
    ),
    "latency": lambda select, rule: _above(
        promql.latency(select, _WINDOW, 0.95, promql.OPERATION), rule, 1000
    ),
    "usage": _usage,
    "refusals": lambda select, rule: _above(f"60 * {promql.refusals(select, _WINDOW)}", rule),
}
_HANDLER = "{{ $labels.messaging_consumer_group_name }}"
_OPERATION = "{{ $labels.rpc_service }}.{{ $labels.rpc_method }}"
_SERVICE = "{{ $labels.service_name }}"
_SUMMARIES: Mapping[str, str] = {
    "dead_letters": f"{_HANDLER} has given up {{{{ $value }}}} events of {{{{ $labels.messaging_destination_name }}}}",
    "failing_events": f"{_HANDLER} fails at events, which are tried again; {{{{ $value }}}} are parked",
    "lag": f"{{{{ $value }}}} events wait for {_HANDLER}",
    "lag_age": f"{{{{ $value | humanize }}}} events have waited too long for {_HANDLER}",
    "outbox": f"{{{{ $value }}}} events of {_SERVICE} wait to be sent to the broker",
    "unsent": f"{{{{ $value }}}} events of {_SERVICE} wait, and the broker takes none",
    "restarts": f"a process of {_SERVICE} has begun anew {{{{ $value | humanize }}}} times",
    "error_rate": f"{{{{ $value | humanize }}}} % of the calls of {_OPERATION} fail",
    "timeout_rate": f"{{{{ $value | humanize }}}} % of the calls of {_OPERATION} get no answer from whom they need",
    "latency": f"{_OPERATION} takes {{{{ $value | humanize }}}} ms",
    "usage": f"{_SERVICE} has {{{{ $value | humanize }}}} % of its room taken",
    "refusals": f"{_SERVICE} refuses calls for lack of room",
}
