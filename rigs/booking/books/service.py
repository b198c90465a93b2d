"""Books: one row for each event heard, in the order of hearing; nothing keeps a second one out."""

from typing import final

from borough import Database, Service, Transaction, on

from ..entries.contract import Entered
from .contract import Books


@final
class BookService(Service, Books):
    """Books what was entered."""

    db: Database

    @on(Entered)
    async def book(self, event: Entered, tx: Transaction) -> None:
        await tx.execute(
            "insert into booked (name, author) values ($1, $2)", event.name, event.author
        )

    async def count(self) -> int:
        return await self.db.one(int, "select count(*) from booked")
