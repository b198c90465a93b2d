"""In which order alerts are looked at: what is to be done at once, and of that causes before their echoes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from borough.alerting.view import State
from borough.reliability.alert_rules import Rule
from borough.reliability.alerts import Alert

__all__ = ["RANKS", "most_urgent"]

RANKS: Final[dict[State, int]] = {"firing": 3, "acknowledged": 2, "pending": 1, "resolved": 0}
"""The worse a state, the higher."""
_CAUSES: Final = ("not_ready", "restarts", "usage", "refusals")
"""Metrics of what lets others wait and fail: who has no process, or no room."""


def most_urgent(alerts: Iterable[Alert], rules: Iterable[Rule]) -> list[Alert]:
    """The most urgent first, by `rules`; of what is equally urgent the youngest."""
    metrics = {rule.name: rule.metric for rule in rules}

    def urgency(alert: Alert) -> tuple[int, bool, int, float]:
        metric = metrics.get(alert.reading.rule)
        rank = _CAUSES.index(metric) if metric in _CAUSES else len(_CAUSES)
        return -RANKS[alert.state], alert.reading.severity != "page", rank, -alert.since

    return sorted(alerts, key=urgency)
