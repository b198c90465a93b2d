"""The ferry in a storm: crossings hears of each ticket, and cannot handle it until the sea is calm."""

from pathlib import Path
from typing import cast, final

from borough import Database, Service, Transaction, on
from borough.gateway.process import Process
from borough.runtime.system import System
from tests.console.ferry import FACTS, Crossings, TicketService, TicketSold, ferry

HURRIED = "\n[events]\nattempts = 1\nretry_first_s = 0.01\nretry_last_s = 0.01\n"


@final
class StormyService(Service, Crossings):
    """Knows the crossings, when the sea is calm."""

    db: Database

    async def open(self) -> None:
        self.is_calm = False

    async def sold(self, crossing: str) -> int:
        return 0

    async def fail(self, crossing: str) -> None:
        raise RuntimeError("the engine stands still")

    @on(TicketSold)
    async def count(self, event: TicketSold, tx: Transaction) -> None:
        if not self.is_calm:
            raise ValueError(f"no ferry sails {event.crossing}")


def stormy(folder: Path, toml: str = FACTS + HURRIED) -> System:
    """The system with one attempt for each event."""
    return ferry(folder, toml, (TicketService, StormyService))


def calm(process: Process) -> None:
    """From now on every event can be handled."""
    cast("StormyService", process.host.services["crossings"].instance).is_calm = True
