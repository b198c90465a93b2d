"""What is let pass in a rollout, and said."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import Database, Event, Key, Service, System, contract, get, upcast
from borough.contracts.descriptor import describe, to_json
from borough.contracts.reading import read_contract
from borough.fleet.compatibility import doubts_about
from borough.fleet.control import ServiceSaid
from borough.fleet.descriptions import descriptions_of
from borough.runtime.host import Host
from borough.stores.sqlite.migrate import _TABLE


class First:
    class Sold(Event):
        id: Key[int]


class Required:
    class Sold(Event):
        id: Key[int]
        cents: int


class Defaulted:
    class Sold(Event):
        id: Key[int]
        cents: int = 0


class Upcast:
    class Sold(Event, version=2):
        id: Key[int]
        cents: int

        @staticmethod
        @upcast(1)
        def _with_cents(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "cents": 0}


def shop(event: type[Event]) -> str:
    """The descriptor of a contract that publishes it."""

    @contract("shop", version="1.0", publishes=[event])
    class Shop(Protocol):
        """Sells."""

    return to_json(describe(read_contract(Shop))).decode()


def doubts(old: type[Event], new: type[Event]) -> list[str]:
    """What is said of a publisher, which is what is said of whoever hears it."""
    was, now = shop(old), shop(new)
    publisher = ServiceSaid(provides={"shop.Shop": was})
    hearer = ServiceSaid(hears={"shop.Shop.Sold": was})
    said = doubts_about("shop", ServiceSaid(provides={"shop.Shop": now}), {"shop": publisher})
    heard = doubts_about("mail", ServiceSaid(hears={"shop.Shop.Sold": now}), {"mail": hearer})
    assert heard == said
    return said


def test_a_required_field_that_comes_to_an_event_is_missing_in_those_of_before_which_is_said() -> (
    None
):
    (said,) = doubts(First.Sold, Required.Sold)
    assert said.startswith("events that were published before: shop.Shop.Sold at /data/cents: ")
    assert said.endswith(
        "Give the new field a default, or make it a new version of the event, with an upcast"
    )
    assert doubts(First.Sold, Defaulted.Sold) == []
    assert doubts(First.Sold, Upcast.Sold) == []
    assert doubts(Required.Sold, First.Sold) == []  # and back


def test_a_version_that_comes_without_the_migrations_of_its_database_is_told() -> None:
    table = ("0001_sold.sql", "create table sold (id integer)")
    whole = ServiceSaid(migrations=(table,), applied=(table[0],))
    assert doubts_about("shop", whole, {"shop": whole}) == []
    assert doubts_about("shop", ServiceSaid(applied=(table[0],)), {"shop": whole}) == [
        "it has no migrations, and its database has 1: was it built without its SQL files?"
    ]


def hearing(*handlers: str) -> ServiceSaid:
    """A service with these handlers of one event."""
    return ServiceSaid(
        hears={"shop.Shop.Sold": shop(First.Sold)},
        handlers={f"mail.{name}": ("shop.Shop.Sold",) for name in handlers},
    )


def test_a_handler_in_place_of_another_may_be_the_same_under_a_new_name_which_is_said() -> None:
    before = {"mail": hearing("send", "note")}
    assert doubts_about("mail", hearing("send", "write"), before) == [
        "mail.write hears shop.Shop.Sold in place of mail.note: while both versions run, both handle what comes, and "
        'what mail.note has not handled at its end is left. If it was renamed, write name="note" in its mark'
    ]
    assert doubts_about("mail", hearing("send", "note", "write"), before) == []
    assert doubts_about("mail", hearing("send"), before) == []


@contract("desk", version="1.0")
class Desk(Protocol):
    """Says how much lies on it."""

    @get("/pages")
    async def pages(self) -> int: ...


class Forgetful(Service, Desk):
    async def pages(self) -> int:
        return 0


class Keeping(Forgetful):
    db: Database


@pytest.mark.parametrize(("kind", "doubts"), [(Keeping, 1), (Forgetful, 0)])
def test_a_version_that_needs_no_database_any_more_needs_no_migrations(
    tmp_path: Path, kind: type[Service], doubts: int
) -> None:
    with sqlite3.connect(tmp_path / "desk.db") as database:
        database.execute(_TABLE)
        facts = ("service", "0001_first.sql", "sum", "then", 1)
        database.execute("insert into borough_migrations values (?, ?, ?, ?, ?)", facts)
    database.close()
    said = descriptions_of(Host(System([kind]), data_folder=tmp_path), {})["desk"]
    assert len(doubts_about("desk", said, {"desk": ServiceSaid()})) == doubts
