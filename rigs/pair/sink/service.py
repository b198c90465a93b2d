"""The sink: it writes down what it hears, in its database and in a ledger outside of it.

Nothing here makes a second telling harmless. Some events can be poison, until the sink is mended.
"""

import hashlib
import os
from typing import final

from borough import Clock, Database, Service, Settings, Transaction, on
from rigs.pair.source.contract import Noted, Source


class SinkSettings(Settings):
    """Where the ledger is, and how long the sink thinks before it writes there."""

    ledger: str
    think_s: float = 0.02
    poison_each: int = 0
    """About each so-manieth event fails; 0 for none."""


def is_poison(writer: str, number: int, each: int) -> bool:
    """Whether an event is one that fails."""
    digest = hashlib.sha256(f"{writer} {number}".encode()).digest()
    return each > 0 and int.from_bytes(digest[:4]) % each == 0


class Poisoned(Exception):
    """This event fails, and fails again."""


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
        self._cure = f"{self.settings.ledger}.cure"

    async def close(self) -> None:
        os.close(self._ledger)

    @on(Noted)
    async def hear(self, event: Noted, tx: Transaction) -> None:
        """With the transaction: exactly once."""
        await tx.execute(
            "insert into heard (writer, number, delay_s) values ($1, $2, $3)",
            event.writer,
            event.number,
            self.clock.now().timestamp() - event.at,
        )
        self._swallow(event)

    @on(Noted)
    async def tell(self, event: Noted) -> None:
        """Outside of it: at least once."""
        await self.clock.sleep(self.settings.think_s)
        self._swallow(event)
        os.write(self._ledger, f"{event.writer} {event.number}\n".encode())

    def _swallow(self, event: Noted) -> None:
        each = self.settings.poison_each
        if is_poison(event.writer, event.number, each) and not os.path.exists(self._cure):
            raise Poisoned(f"note {event.number} of {event.writer} is poison")
