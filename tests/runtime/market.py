"""A shop that sets prices, and a search service that shows them: for tests of projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from borough import Database, Event, Key, Projections, Service, Transaction, contract, get, on, post
from borough.services.projections import Lag, projection

TABLES = "create table if not exists prices (item text primary key, cents integer, changes integer)"


class PriceChanged(Event):
    """An item has another price."""

    item: Key[str]
    cents: int


class Noise(Event):
    """Something that no price depends on."""

    number: int


@contract("market", version="1.0", publishes=[PriceChanged, Noise])
class Market(Protocol):
    """Sets prices."""

    @post("/prices")
    async def set_price(self, item: str, cents: int) -> str: ...

    @post("/noise")
    async def make_noise(self, number: int) -> str: ...


class MarketService(Service, Market, name="market"):
    db: Database

    async def set_price(self, item: str, cents: int) -> str:
        async with self.db.transaction() as tx:
            tx.publish(PriceChanged(item=item, cents=cents))
        return tx.position

    async def make_noise(self, number: int) -> str:
        async with self.db.transaction() as tx:
            tx.publish(Noise(number=number))
        return tx.position


@contract("search", version="1.0")
class Search(Protocol):
    """Shows prices."""

    @get("/prices/{item}")
    async def price(self, item: str, position: str = "", within_s: float = 9.0) -> int: ...

    @get("/lag")
    async def lag(self) -> Lag: ...


class _SearchService(Service):
    db: Database
    projections: Projections
    factor = 1
    broken = False

    async def open(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute(TABLES)
            await tx.execute("create table if not exists noises (number integer)")

    async def price(self, item: str, position: str = "", within_s: float = 9.0) -> int:
        await self.projections.reached("prices", position, within_s=within_s)
        found = await self.db.maybe(int, "select cents from prices where item = $1", item)
        return 0 if found is None else found

    async def lag(self) -> Lag:
        return await self.projections.lag("prices")

    async def write(self, event: PriceChanged, tx: Transaction) -> None:
        if self.broken and event.item == "bad":
            raise RuntimeError("cannot show it")
        await tx.execute(
            "insert into prices values ($1, $2, 1) on conflict (item) do update "
            "set cents = excluded.cents, changes = changes + 1",
            event.item,
            event.cents * self.factor,
        )


def search(
    generation: int = 1,
    factor: int = 1,
    *,
    events: Sequence[type[Event]] = (PriceChanged,),
    tables: Sequence[str] = ("prices",),
) -> type[Service]:
    """The search service in the form of some release."""

    class SearchService(_SearchService, Search, name="search"):
        @projection(*events, tables=tables, generation=generation)
        async def prices(self, event: Any, tx: Transaction) -> None:
            if isinstance(event, PriceChanged):
                await self.write(event, tx)

    SearchService.factor = factor
    return SearchService


class HearingService(_SearchService, Search, name="search"):
    """As it was before it became a projection."""

    async def lag(self) -> Lag:
        return Lag(seconds=0.0, rebuilding=False)

    @on(PriceChanged)
    async def prices(self, event: PriceChanged, tx: Transaction) -> None:
        await self.write(event, tx)


async def shown(db: Database) -> dict[str, Any]:
    """What search shows: cents and number of changes by item."""
    rows = await db.all(tuple[str, int, int], "select item, cents, changes from prices")
    return {item: (cents, changes) for item, cents, changes in rows}
