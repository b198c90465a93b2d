"""A small system that can go wrong in each way that a default rule names, and what looks at it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Event as Flag
from types import MappingProxyType
from typing import Protocol, final

from borough import (
    Database,
    Event,
    Key,
    Problem,
    Service,
    Transaction,
    contract,
    in_thread,
    on,
    post,
)
from borough.alerting.alerting import Alerting
from borough.alerting.declared import declared_in
from borough.alerting.facts import OwnFacts
from borough.alerting.view import AlertView
from borough.clock import SystemClock
from borough.errors import CallError
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.runtime.system import System

FACTS = """
[system]
name = "till"

[teams.checkout]
size = 5
{team}

[services.payments]
team = "checkout"

[services.orders]
team = "checkout"

[limits]
drain_s = 0.2
threads = 2
calls_in_flight = 4

[events]
attempts = {attempts}
retry_first_s = 0.01
retry_last_s = 0.01

[alerts.rules.slow-calls]
above = "{slow}"
{more}
"""


OPENED = Flag()
"""What blocking charges wait for."""


class OutcomeUnknown(Problem, status=502):
    """The issuer has not answered."""


class Charged(Event):
    """A card was charged."""

    order_id: Key[str]


@contract("payments", version="1.0", publishes=[Charged])
class Payments(Protocol):
    """Charges cards."""

    @post("/charges", raises=[OutcomeUnknown])
    async def charge(self, order_id: str, how: str) -> None:
        """Charge a card, or go wrong as `how` says."""
        ...


@contract("orders", version="1.0", latency="p99 < 9s")
class Orders(Protocol):
    """Takes orders."""

    @post("/")
    async def place(self, order_id: str, how: str) -> None:
        """Take an order and have it paid."""
        ...


@final
class PaymentService(Service, Payments):
    """Charges cards."""

    db: Database

    async def open(self) -> None:
        OPENED.clear()
        self.opened = asyncio.Event()

    async def charge(self, order_id: str, how: str) -> None:
        if how == "unanswered":
            raise OutcomeUnknown
        if how == "broken":
            raise RuntimeError("the terminal burns")
        if how == "slow":
            await asyncio.sleep(0.12)
        if how == "blocking":
            await in_thread(OPENED.wait, 30)
        if how == "held":
            await self.opened.wait()
        async with self.db.transaction() as tx:
            tx.publish(Charged(order_id=order_id))


@final
class OrderService(Service, Orders):
    """Takes orders."""

    payments: Payments
    db: Database

    async def place(self, order_id: str, how: str) -> None:
        await self.payments.charge(order_id, how)

    @on(Charged)
    async def mark_paid(self, event: Charged, tx: Transaction) -> None:
        if event.order_id.startswith("poison"):
            raise ValueError(f"no order {event.order_id}")
        if event.order_id.startswith("late"):
            await asyncio.sleep(3600)


class MovedClock(SystemClock):
    """A clock that can be put forward, for whoever judges by it."""

    ahead_s = 0.0

    def epoch_s(self) -> float:
        return super().epoch_s() + self.ahead_s

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s


class Watched:
    """A till that runs, and what looks at it only when it is told to."""

    def __init__(self, process: Process, alerting: Alerting, clock: MovedClock) -> None:
        self.process = process
        self.alerting = alerting
        self.clock = clock
        self._placed = "", 0, ""

    async def place(self, how: str, times: int = 5, order: str = "o") -> None:
        """Place orders one after the other; how they end does not matter."""
        self._placed = how, times, order
        client = self.process.host.client(Orders)
        for number in range(times):
            with suppress(CallError):
                await client.place(f"{order}{number}", how)

    async def look(self, after_s: float = 0.0) -> list[AlertView]:
        """What fires after so long a time."""
        self.clock.ahead_s += after_s
        await self.alerting.look()
        return [alert for alert in self.alerting.view().alerts if alert.state == "firing"]

    async def fired(self) -> list[AlertView]:
        """What fires once what is so now has lasted: what went wrong goes wrong again."""
        await self.look()
        self.clock.ahead_s += 31
        how, times, order = self._placed
        if how not in ("ok", "held", "blocking", ""):
            await self.place(how, times, order)
        return await self.look()

    async def once(self, rule: str) -> AlertView:
        """The alert of a rule, as soon as what happens in the background is there."""
        async with asyncio.timeout(30):
            while True:
                for alert in await self.fired():
                    if alert.rule == rule:
                        return alert
                await asyncio.sleep(0.02)


def till(
    folder: Path,
    team: str = "",
    more: str = "",
    attempts: int = 1,
    slow: str = "500ms",
    environment: Mapping[str, str] = MappingProxyType({}),
) -> System:
    """The system with these options for its team and its alerts."""
    folder.mkdir(parents=True, exist_ok=True)
    toml = FACTS.format(team=team, more=more, attempts=attempts, slow=slow)
    (folder / "borough.toml").write_text(toml, encoding="utf-8")
    configuration = Configuration.load(folder, environment)
    return System((PaymentService, OrderService), configuration=configuration)


@asynccontextmanager
async def watched(system: System, folder: Path) -> AsyncIterator[Watched]:
    """The system in a process, seen once at rest."""
    process = Process(system, data_folder=folder / "data")
    await process.start()
    clock = MovedClock()
    declared = declared_in(system.configuration, process.host.services)
    facts = OwnFacts(process, clock.monotonic())
    alerting = Alerting(system.configuration.options, declared, facts, clock, folder / "data")
    found = Watched(process, alerting, clock)
    try:
        await alerting.remember()
        await found.look()
        yield found
    finally:
        await alerting.close()
        await process.stop()
