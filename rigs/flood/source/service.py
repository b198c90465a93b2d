"""The source."""

import asyncio
from typing import final

from borough import Database, Service
from rigs.flood.source.contract import Dropped, Source

AT_ONCE = 64
PLACES = 10_000
NOTE = "x" * 200


@final
class SourceService(Service, Source):
    """Publishes many events."""

    db: Database

    async def flood(self, first: int, count: int) -> None:
        left = iter(range(first, first + count))

        async def publish() -> None:
            for number in left:
                async with self.db.transaction() as tx:
                    tx.publish(Dropped(place=f"p{number % PLACES}", number=number, note=NOTE))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(publish())
