"""Alerts as they are shown: JSON of the console's endpoints and of `borough alerts`, times in seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from borough.reliability.alert_rules import Source
from borough.reliability.objectives import Severity

__all__ = [
    "AlertView",
    "AlertsNow",
    "AlertsView",
    "Channel",
    "RouteView",
    "RuleView",
    "SilenceView",
    "State",
]

State = Literal["pending", "firing", "acknowledged", "resolved"]
Channel = Literal["webhook", "mail", "none"]


class AlertView(msgspec.Struct, frozen=True, kw_only=True):
    """An alert. `summary` says what is wrong for whom; `look` is the console's page where the cause is seen."""

    id: str
    rule: str
    service: str | None
    team: str | None
    severity: Severity
    state: State
    summary: str
    value: float
    threshold: float
    unit: str
    since: float
    fired_at: float | None
    resolved_at: float | None
    acknowledged_by: str | None
    note: str | None
    silenced_until: float | None
    runbook: str | None
    look: str


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, of one service or of all."""

    name: str
    service: str | None
    team: str | None
    severity: Severity
    condition: str
    source: Source
    runbook: str | None


class SilenceView(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is told of these until then."""

    id: str
    rule: str | None
    service: str | None
    until: float
    reason: str
    by: str


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """How a team is told, and whether that works. `to` is masked."""

    team: str
    channel: Channel
    to: str
    last_error: str | None
    last_sent: float | None


class AlertsView(msgspec.Struct, frozen=True, kw_only=True):
    """All of it: open alerts (the most urgent first), resolved ones (the newest first), and what is declared."""

    alerts: Sequence[AlertView]
    history: Sequence[AlertView]
    rules: Sequence[RuleView]
    silences: Sequence[SilenceView]
    routes: Sequence[RouteView]


class AlertsNow(msgspec.Struct, frozen=True, kw_only=True):
    """How many there are, and the worst state of each service that has any."""

    firing: int
    acknowledged: int
    pending: int
    by_service: dict[str, State]
