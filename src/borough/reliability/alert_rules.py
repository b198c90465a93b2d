"""Rules of alerts as data: what is looked at, above which value, for how long, and how bad that is.

The default ones name what goes wrong in most systems. A rule that borough.toml gives the name of a
default one changes that; another name is a rule of its own. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from borough.reliability.objectives import Severity

__all__ = ["DEFAULT_RULES", "METRICS", "Rule", "Source", "read_above"]

Source = Literal["default", "borough.toml", "contract"]
Unit = Literal["", "%", "ms", "s"]


class Metric(msgspec.Struct, frozen=True):
    """Something that a rule can look at. `words` say it in a condition."""

    words: str
    unit: Unit = ""


METRICS: Final[Mapping[str, Metric]] = {
    "dead_letters": Metric("dead letters of a handler"),
    "failing_events": Metric("events that fail and are tried again"),
    "lag": Metric("events that wait for a handler"),
    "lag_age": Metric("age of the oldest event that waits for a handler", "s"),
    "outbox": Metric("events that wait to be sent to the broker"),
    "unsent": Metric("events that wait while the broker takes none, again and again"),
    "restarts": Metric("times that a process has ended by itself in 5 minutes"),
    "not_ready": Metric("services that nobody answers for"),
    "error_rate": Metric("share of calls that fail in a minute", "%"),
    "timeout_rate": Metric(
        "share of calls that get no answer from whom they need in a minute", "%"
    ),
    "latency": Metric("time in which 95 of 100 calls are answered, in a minute", "ms"),
    "usage": Metric("share of a limit or pool that is taken", "%"),
    "refusals": Metric("calls refused for lack of room in a minute"),
}
"""By the name that borough.toml has for it."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Breached where the metric is above `above`. `services` empty: of all."""

    name: str
    metric: str
    above: float
    for_s: float
    severity: Severity
    services: tuple[str, ...] = ()
    runbook: str | None = None
    source: Source = "default"

    @property
    def condition(self) -> str:
        """The rule as a sentence has it."""
        metric = METRICS[self.metric]
        unit = f" {metric.unit}" if metric.unit else ""
        lasting = f" for {self.for_s:g} s" if self.for_s else ""
        return f"{metric.words} > {self.above:g}{unit}{lasting}"


def _rule(name: str, metric: str, above: float, for_s: float, severity: Severity) -> Rule:
    return Rule(name=name, metric=metric, above=above, for_s=for_s, severity=severity)


DEFAULT_RULES: Final = (
    _rule("not-ready", "not_ready", 0, 30, "page"),
    _rule("crash-loop", "restarts", 2, 0, "page"),
    _rule("full", "usage", 90, 10, "page"),
    _rule("refusals", "refusals", 0, 10, "page"),
    _rule("failing-calls", "error_rate", 5, 20, "page"),
    _rule("timeouts", "timeout_rate", 5, 10, "page"),
    _rule("slow-calls", "latency", 500, 30, "ticket"),
    _rule("dead-letters", "dead_letters", 0, 0, "ticket"),
    _rule("failing-events", "failing_events", 0, 20, "ticket"),
    _rule("late-events", "lag_age", 30, 10, "ticket"),
    _rule("unsent-events", "unsent", 0, 60, "ticket"),
    _rule("stuck-outbox", "outbox", 500, 60, "ticket"),
)
"""What holds for every system. Alerts that begin at one look are told in this order: causes first."""

_FACTORS: Final[Mapping[Unit, Mapping[str, float]]] = {
    "": {"": 1.0},
    "%": {"": 1.0, "%": 1.0},
    "ms": {"ms": 1.0, "s": 1e3},
    "s": {"s": 1.0, "ms": 1e-3, "m": 60.0, "h": 3600.0},
}
_ABOVE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(%|[a-z]*)\Z", re.ASCII)


def read_above(metric: str, given: str | float) -> float:
    """A bound as borough.toml has it, in the metric's unit. Raises `ValueError`."""
    unit = METRICS[metric].unit
    factors = _FACTORS[unit]
    found = _ABOVE.match(str(given).strip())
    if found is None or found[2] not in factors:
        example = {"": "100", "%": '"5%"', "ms": '"250ms"', "s": '"30s"'}[unit]
        raise ValueError(f"{given!r} is no bound of {metric}; write it as {example}")
    return float(found[1]) * factors[found[2]]
