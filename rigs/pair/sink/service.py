"""The sink: it writes down what it hears, in its database and in a ledger outside of it.

Nothing here makes a second telling harmless.
"""

import os
from typing import final

from borough import Clock, Database, Service, Settings, Transaction, on
from rigs.pair.source.contract import Noted, Source


class SinkSettings(Settings):
    """Where the ledger is, and how long the sink thinks before it writes there."""

    ledger: str
    think_s: float = 0.02


@final
class SinkService(Service, name="sink"):
    """Hears, in both forms."""

    source: Source
    settings: SinkSettings
    db: Database
    clock: Clock

    async def open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._ledger = os.open(self.settings.ledger, flags, 0o644)

    async def close(self) -> None:
        os.close(self._ledger)

    @on(Noted)
    async def hear(self, event: Noted, tx: Transaction) -> None:
        """With the transaction: exactly once."""
        await tx.execute(
            "insert into heard (writer, number) values ($1, $2)", event.writer, event.number
        )

    @on(Noted)
    async def tell(self, event: Noted) -> None:
        """Outside of it: at least once."""
        await self.clock.sleep(self.settings.think_s)
        os.write(self._ledger, f"{event.writer} {event.number}\n".encode())
