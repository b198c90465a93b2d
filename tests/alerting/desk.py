"""An alerting that looks at facts as a test says them, on a clock that the test owns."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from borough.alerting.alerting import Alerting
from borough.alerting.declared import Declared, Route
from borough.alerting.facts import CallFacts, HandlerFacts, ProcessFacts, SystemFacts
from borough.contracts.objective import Objective
from borough.reliability.alert_rules import DEFAULT_RULES
from borough.reliability.alerts import Silence
from borough.runtime.options import Options
from borough.testing import ManualClock

NOBODY: Mapping[str, Route] = MappingProxyType({})


class PutClock(ManualClock):
    """One whose wall clock may be put."""

    off_by_s = 0.0

    def epoch_s(self) -> float:
        return super().epoch_s() + self.off_by_s


class Said:
    """What is so at the next look."""

    def __init__(self) -> None:
        self.facts = SystemFacts(processes=(), answered={"orders": True})

    async def look(self) -> SystemFacts:
        return self.facts


class Desk:
    """Whoever watches the orders."""

    def __init__(
        self,
        folder: Path,
        clock: PutClock | None = None,
        routes: Mapping[str, Route] = NOBODY,
        options: Mapping[str, Any] = MappingProxyType({}),
        objectives: tuple[Objective, ...] = (),
        default_team: str | None = None,
    ) -> None:
        self.clock = clock or PutClock()
        self.said = Said()
        declared = Declared(
            rules=DEFAULT_RULES,
            objectives=objectives,
            routes=routes,
            teams={"orders": "night"},
            password=None,
            default_team=default_team,
        )
        given = msgspec.convert({"system": {"name": "desk"}, "alerts": dict(options)}, Options)
        self.alerting = Alerting(given, declared, self.said, self.clock, folder)

    async def look(self, after_s: float = 0.0) -> list[tuple[str, str]]:
        """Rule and state of all alerts that are open after so long a time."""
        self.clock.advance(after_s)
        await self.alerting.look()
        return [(alert.rule, alert.state) for alert in self.alerting.view().alerts]


def orders(*handlers: HandlerFacts, unknown: tuple[str, ...] = ()) -> SystemFacts:
    """A system of one process that takes orders."""
    process = ProcessFacts(
        id="orders.1", services=("orders",), state="ready", handlers=handlers, unknown=unknown
    )
    return SystemFacts(processes=(process,), answered={"orders": True})


def given_up(dead: int) -> HandlerFacts:
    """A handler that has given up so many events."""
    return HandlerFacts(
        name="orders.ship",
        service="orders",
        topic="payments.Payments",
        place=9,
        end=9,
        failing=0,
        behind_failing=0,
        attempts=0,
        cause="",
        dead=dead,
        dead_cause="",
        handled=9,
    )


def taken(faults: int) -> SystemFacts:
    """A system all of whose calls have failed, so many."""
    call = CallFacts(
        side="server",
        caller="edge",
        service="orders",
        operation="orders.Orders.place",
        count=faults,
        faults=faults,
        kinds={"RuntimeError": faults},
        buckets={-6: faults},
    )
    process = ProcessFacts(id="orders.1", services=("orders",), state="ready", calls=(call,))
    return SystemFacts(processes=(process,), answered={"orders": True})


def silence(until: float) -> Silence:
    """Nobody is told of the orders until then."""
    return Silence(id="s1", rule=None, service="orders", until=until, reason="known", by="ann")
