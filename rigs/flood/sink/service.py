"""The sink: it counts what it hears, so that a lost or doubled event is seen in the sums."""

from typing import final

from borough import Database, Service, Transaction, on
from rigs.flood.source.contract import Dropped

TALLY = """
insert into tally (place, times, total, last) values ($1, 1, $2, $2)
on conflict (place) do update set times = times + 1, total = total + $2, last = $2
where last < $2
"""


@final
class SinkService(Service, name="sink"):
    """Counts."""

    db: Database

    @on(Dropped)
    async def hear(self, event: Dropped, tx: Transaction) -> None:
        """Count an event; one that is out of order is not counted, and missing in the sums."""
        await tx.execute(TALLY, event.place, event.number)
