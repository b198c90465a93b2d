"""The search service."""

from typing import final

from borough import Clock, Database, Page, Service
from shop.search import data
from shop.search.contract import (
    Item,
    OutOfStock,
    Reservation,
    ReservationEnded,
    Search,
    UnknownItem,
    Wanted,
)
from shop.search.engine import Engine, SearchSettings


@final
class SearchService(Service, Search):
    """Finds what is for sale and holds the stock."""

    db: Database
    settings: SearchSettings
    clock: Clock

    async def open(self) -> None:
        self._engine = Engine(self.settings, self.clock)

    async def find(self, q: str = "", after: str | None = None, limit: int = 20) -> Page[Item]:
        # The catalogue hardly changes, so the cursor is simply how many items were seen already.
        skip = int(after) if after and after.isascii() and after.isdigit() else 0
        skip = min(skip, 1_000_000)
        await self._engine.answered()
        found = await data.items(self.db, q, skip, limit + 1)
        more = len(found) > limit
        return Page(items=tuple(found[:limit]), next=str(skip + limit) if more else None)

    async def item(self, sku: str) -> Item:
        found = await data.item(self.db, sku)
        if found is None:
            raise UnknownItem(sku=sku)
        return found

    async def reserve(self, order_id: str, lines: tuple[Wanted, ...]) -> Reservation:
        async with self.db.transaction() as tx:
            held = await data.held(tx, order_id)
            if held is not None and held.released:
                raise ReservationEnded()
            if held is not None:
                return await tx.answer(Reservation(order_id=order_id, lines=held.lines))
            taken = []
            for wanted in lines:
                line = await data.take(tx, wanted.sku, wanted.quantity)
                if line is None and await data.is_sold_here(tx, wanted.sku):
                    raise OutOfStock(sku=wanted.sku)  # which rolls back what was taken so far
                if line is None:
                    raise UnknownItem(sku=wanted.sku)
                taken.append(line)
            await data.hold(tx, order_id, tuple(taken))
            return await tx.answer(Reservation(order_id=order_id, lines=tuple(taken)))

    async def release(self, order_id: str) -> None:
        async with self.db.transaction() as tx:
            held = await data.held(tx, order_id)
            if held is not None and not held.released:
                await data.give_back(tx, held.lines)
            await data.end(tx, order_id)
