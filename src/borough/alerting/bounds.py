"""What is declared of how much of a service may fail or be taken: the console's colours follow it, as alerts do. Pure.

Rules come from Borough or borough.toml, objectives from there or from contracts. Of several the strictest holds; where
no rule is left of a kind, Borough's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from borough.contracts.objective import Objective
from borough.reliability.alert_rules import DEFAULT_RULES, Rule

__all__ = ["Bounds"]


class Bounds:
    """Shares, between 0 and 1: above them somebody has to look."""

    def __init__(self, rules: Iterable[Rule] = (), objectives: Iterable[Objective] = ()) -> None:
        self._rules = tuple(rules)
        self._left = {each.service: 1 - each.share for each in objectives if each.bound_s is None}
        self._known: dict[tuple[str, str], float] = {}

    def calls(self, service: str) -> float:
        """How many calls may fail, by rules of `error_rate` and by what an availability leaves."""
        return min(self._of("error_rate", service), self._left.get(service, 1.0))

    def events(self, service: str) -> float:
        """How many attempts at events may fail: availability is said of calls."""
        return self._of("error_rate", service)

    def rooms(self, service: str) -> float:
        """How much of a room may be taken, with what waits."""
        return self._of("usage", service)

    def _of(self, metric: str, service: str) -> float:
        known = self._known.get((metric, service))
        if known is None:
            above = [
                rule.above
                for rule in self._rules
                if rule.metric == metric and (not rule.services or service in rule.services)
            ]
            default = (rule.above for rule in DEFAULT_RULES if rule.metric == metric)
            known = self._known[metric, service] = min(above or default) / 100
        return known
