"""Alerts of one running system: looked for by its rules, kept over restarts, told to the owning team."""

from __future__ import annotations

from collections.abc import Iterator

from borough.alerting.declared import Declared
from borough.alerting.view import AlertsNow, AlertsView, AlertView, RouteView, RuleView, SilenceView
from borough.errors import NotFound
from borough.reliability.alert_rules import Rule
from borough.reliability.objectives import BURNS, Burn, Objective

__all__ = ["Alerting"]


class Alerting:
    """See above."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared

    def view(self) -> AlertsView:
        """Everything, as the console shows it."""
        return AlertsView(
            alerts=(),
            history=(),
            rules=[*self._rules(), *self._objectives()],
            silences=(),
            routes=[
                RouteView(
                    team=route.team,
                    channel=route.channel,
                    to=route.shown,
                    last_error=None,
                    last_sent=None,
                )
                for route in self._declared.routes.values()
            ],
        )

    def now(self) -> AlertsNow:
        """How many alerts there are."""
        return AlertsNow(firing=0, acknowledged=0, pending=0, by_service={})

    async def acknowledge(self, alert_id: str, note: str, by: str) -> AlertView:
        """Somebody looks after it. Raises `NotFound`."""
        raise NotFound(f"No alert {alert_id} fires")

    async def silence(
        self, rule: str | None, service: str | None, for_s: float, reason: str, by: str
    ) -> SilenceView:
        """Tell nobody of these for so long. Raises `InvalidRequest`."""
        raise NotFound("Nothing can be silenced yet")

    async def end_silence(self, silence_id: str) -> None:
        """Tell of them again. Raises `NotFound`."""
        raise NotFound(f"There is no silence {silence_id}")

    def _rules(self) -> Iterator[RuleView]:
        for rule in self._declared.rules:
            for service in rule.services or (None,):
                yield self._rule(rule, service)

    def _rule(self, rule: Rule, service: str | None) -> RuleView:
        return RuleView(
            name=rule.name,
            service=service,
            team=None if service is None else self._declared.teams.get(service),
            severity=rule.severity,
            condition=rule.condition,
            source=rule.source,
            runbook=rule.runbook,
        )

    def _objectives(self) -> Iterator[RuleView]:
        for objective in self._declared.objectives:
            for burn in BURNS:
                yield self._objective(objective, burn)

    def _objective(self, objective: Objective, burn: Burn) -> RuleView:
        return RuleView(
            name=f"{objective.kind}-{burn.name}-burn",
            service=objective.service,
            team=self._declared.teams.get(objective.service),
            severity=burn.severity,
            condition=burn.condition(objective),
            source="borough.toml",
            runbook=None,
        )
