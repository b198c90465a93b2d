"""In which order alerts are shown."""

from borough.alerting.urgency import most_urgent
from borough.reliability.alert_rules import DEFAULT_RULES
from borough.reliability.alerts import Alert, AlertBook, Reading
from borough.reliability.objectives import Severity


def fired(*readings: tuple[str, Severity]) -> list[Alert]:
    """Alerts of these rules, each of a later look than the one before."""
    book, found = AlertBook(), list[Reading]()
    for now, (rule, severity) in enumerate(readings):
        found.append(
            Reading(
                rule=rule,
                subject=rule,
                service="payments",
                team=None,
                severity=severity,
                is_breached=True,
                value=9.0,
                threshold=1.0,
                unit="",
                for_s=0.0,
                summary=rule,
                look="#/map",
                runbook=None,
            )
        )
        book.observe(found, 1000.0 + now, lambda _: False)
    return book.open


def test_causes_stand_before_what_may_follow_and_pages_before_tickets() -> None:
    alerts = fired(
        ("failing-calls", "page"),
        ("full", "page"),
        ("dead-letters", "ticket"),
        ("timeouts", "page"),
        ("latency-fast-burn", "page"),
        ("not-ready", "page"),
    )
    assert [alert.reading.rule for alert in most_urgent(alerts, DEFAULT_RULES)] == [
        "not-ready",
        "full",
        "latency-fast-burn",
        "timeouts",
        "failing-calls",
        "dead-letters",
    ]
