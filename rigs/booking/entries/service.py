"""Entries: a row, an event and an answer in one transaction."""

from typing import final

from borough import Database, Service

from .contract import Entered, Entries, Entry


@final
class EntryService(Service, Entries):
    """Takes entries."""

    db: Database

    async def enter(self, name: str, author: str, filling: str) -> Entry:
        async with self.db.transaction() as tx:
            await tx.execute("insert into entry (name, filling) values ($1, $2)", name, filling)
            tx.publish(Entered(name=name, author=author))
            return await tx.answer(Entry(name=name, author=author, filling=filling))

    async def total(self) -> int:
        return await self.db.one(int, "select count(*) from entry")
