"""A small system in two releases that differ in every contract, by a migration each, and in what they answer.

An order calls `stock`, which keeps what was taken, and is heard of by `books`. The second release adds a
field and a parameter, a column, and its letter to each answer; either may run beside the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from shop.demo.places import Rows

__all__ = ["RELEASES", "SERVICES", "breaches", "unfinished", "write_release"]

SERVICES = ("books", "orders", "stock")
RELEASES = ("a", "b")

TOML = """
[system]
name = "market"

[edge]
rate_limit = ""
"""

ORDERS_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Event, Key, Struct, contract, post

class Placed(Event):
    name: Key[str]{event}

class Order(Struct):
    name: str
    orders: str
    stock: str{field}

@contract("orders", version="{version}", publishes=[Placed])
class Orders(Protocol):
    """Takes orders."""

    @post("/orders", allow=ANYONE, status=201)
    async def place(self, name: str{parameter}) -> Order:
        """Take an order, once."""
        ...
'''

ORDERS_SERVICE = """
from typing import final
from borough import Database, Service
from market.orders.contract import Order, Orders, Placed
from market.stock.contract import Stock

@final
class OrdersService(Service, Orders):
    stock: Stock
    db: Database

    async def place(self, name{parameter}):
        taken = await self.stock.take(name)
        async with self.db.transaction() as tx:
            await tx.execute("insert into placed (name) values ($1)", name)
            tx.publish(Placed(name=name))
        return Order(name=name, orders="{release}", stock=taken.release)
"""

STOCK_CONTRACT = '''
from typing import Protocol
from borough import Struct, contract, post

class Taken(Struct):
    release: str{field}

@contract("stock", version="{version}")
class Stock(Protocol):
    """Keeps what is left."""

    @post("/take")
    async def take(self, name: str{parameter}) -> Taken:
        """Take a thing for an order."""
        ...
'''

STOCK_SERVICE = """
from typing import final
from borough import Database, Service
from market.stock.contract import Stock, Taken

@final
class StockService(Service, Stock):
    db: Database

    async def take(self, name{parameter}):
        async with self.db.transaction() as tx:
            await tx.execute("insert into taken (name) values ($1)", name)
        return Taken(release="{release}")
"""

BOOKS_CONTRACT = '''
from typing import Protocol
from borough import ANYONE, Struct, contract, get

class Page(Struct):
    books: str{field}

@contract("books", version="{version}")
class Books(Protocol):
    """Writes down what was ordered."""

    @get("/page", allow=ANYONE)
    async def page(self{parameter}) -> Page:
        """Which release writes."""
        ...
'''

BOOKS_SERVICE = """
from typing import final
from borough import Database, Service, on
from market.books.contract import Books, Page
from market.orders.contract import Placed

@final
class BooksService(Service, Books):
    db: Database

    async def page(self{parameter}):
        return Page(books="{release}")

    @on(Placed)
    async def note(self, event, tx):
        await tx.execute("insert into noted (name) values ($1)", event.name)
"""

_CODE = {
    "orders": (ORDERS_CONTRACT, ORDERS_SERVICE, "placed"),
    "stock": (STOCK_CONTRACT, STOCK_SERVICE, "taken"),
    "books": (BOOKS_CONTRACT, BOOKS_SERVICE, "noted"),
}


def write_release(folder: Path, release: str) -> Path:
    """The whole system in one release, below `folder`; returns its folder."""
    root = folder / "market"
    is_later = release == "b"
    facts = {
        "release": release,
        "version": "1.1" if is_later else "1.0",
        "field": '\n    more: str = ""' if is_later else "",
        "event": '\n    more: str = ""' if is_later else "",
        "parameter": ', more: str = ""' if is_later else "",
    }
    files = {"__init__.py": "", "borough.toml": TOML}
    for name, (contract, service, table) in _CODE.items():
        files[f"{name}/__init__.py"] = ""
        files[f"{name}/contract.py"] = contract.format(**facts)
        files[f"{name}/service.py"] = service.format(**facts)
        below = f"{name}/migrations/sqlite"
        files[f"{below}/0001_{table}.sql"] = f"create table {table} (name text not null);\n"
        if is_later:
            column = f"alter table {table} add column more text not null default '';\n"
            files[f"{below}/0002_more.sql"] = column
    for path, text in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return root


def unfinished(data: Path) -> list[str]:
    """What is still under way, in words."""
    placed, noted = (len(_names(data, service)) for service in ("orders", "books"))
    return [f"{noted} of {placed} orders are noted"] if noted < placed else []


def breaches(data: Path, acknowledged: Sequence[str]) -> Iterator[str]:
    """What is lost or doubled, in words. Ask once all is quiet."""
    for service in SERVICES:
        times = Counter(_names(data, service))
        for name in acknowledged:
            if not times[name]:
                yield f"lost: order {name} is not in {service} (it was acknowledged)"
        for name, count in times.items():
            if count > 1:
                yield f"doubled: order {name} is {count} times in {service}"


def _names(data: Path, service: str) -> list[str]:
    with Rows(data / f"{service}.db") as rows:
        return [name for (name,) in rows(f"select name from {_CODE[service][2]}")]
