"""A database that an earlier Borough has left is brought up to date, and what waits in it goes on.

Its tables are made by the first of Borough's own migrations, which are never edited; its rows are as that Borough
has written them.
"""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

import pytest

from borough import ANYONE, Database, Event, Key, Service, Struct, contract, on, post
from borough.clock import SystemClock
from borough.errors import MigrationRefused
from borough.ports import Migration
from borough.runtime.adapters import make_store
from borough.runtime.configuration import Configuration
from borough.runtime.dead_letters import DeadLetters, Selection
from borough.runtime.system import System
from borough.services.data import Dialect
from borough.stores.migrations import OWN
from borough.stores.schema import borough_migrations
from borough.testing import start

HEARD: list[int] = []
_FIRST_TO_WAIT = 5
"""The first Borough that ran a fleet had so many migrations."""
_EVENT = """{"specversion":"1.0","id":"01a2-%d","source":"/firm/bank","type":"bank.Bank.Booked",\
"time":"2026-11-26T05:02:39.055351Z","datacontenttype":"application/json","partitionkey":"a","data":{"account":"a",\
"number":%d}}"""
_FINGERPRINT = bytes.fromhex(
    "01CDAFF48134071AAA6FCB37C2E2F416511D89BEF38BF76A530F8295F5B0A1FB1036756DB86E32001CA207495D28C4ED0F"
)
"""Of {"order_id": "o0", "cents": 1}."""


class Booked(Event):
    account: Key[str]
    number: int


class Receipt(Struct):
    number: int
    by: str


@contract("bank", version="1.0", publishes=[Booked])
class Bank(Protocol):
    """Keeps accounts."""

    @post("/order/{order_id}", allow=ANYONE, idempotent_by="order_id")
    async def order(self, order_id: str, cents: int) -> Receipt:
        """Book once per order."""
        ...


class BankService(Service, Bank):
    db: Database

    async def order(self, order_id: str, cents: int) -> Receipt:
        raise AssertionError("a stored answer was not found")


class MirrorService(Service, name="mirror"):
    db: Database

    @on(Booked)
    async def note(self, event: Booked) -> None:
        HEARD.append(event.number)


async def made_by(migrations: int, folder: Path, service: str) -> sqlite3.Connection:
    """A service's database with the tables of an earlier Borough."""
    store = make_store(Configuration.load(folder, {}), folder, service, SystemClock())
    await store.open()
    await store.migrate(OWN, borough_migrations("sqlite")[:migrations])
    await store.close()
    return sqlite3.connect(folder / f"{service}.db")


@pytest.mark.parametrize("migrations", range(_FIRST_TO_WAIT, len(borough_migrations("sqlite")) + 1))
async def test_what_an_earlier_borough_has_left_goes_on(tmp_path: Path, migrations: int) -> None:
    HEARD.clear()
    data = tmp_path
    body = [(_EVENT % (number, number)).encode() for number in range(4)]
    kind = ("bank.Bank", "bank.Bank.Booked", "a")
    with closing(await made_by(migrations, data, "bank")) as bank, bank:
        bank.execute(
            "insert into borough_outbox (id, topic, type, key, body) values ('01a2-1', ?, ?, ?, ?)",
            (*kind, body[1]),
        )
        bank.execute(
            "insert into borough_scheduled (due, id, topic, type, key, body) values (1, '01a2-2', ?, ?, ?, ?)",
            (*kind, body[2]),
        )
        bank.execute(
            "insert into borough_answers values ('bank.Bank.order', '', 'o0', ?, 'value', ?, 9e9)",
            (_FINGERPRINT, b'{"number":101,"by":"an earlier one"}'),
        )
    with closing(await made_by(migrations, data, "mirror")) as mirror, mirror:
        mirror.execute(
            "insert into borough_dead values (1, 'mirror.note', 1, ?, '01a2-3', ?, ?, 1, ?, 12, 9e9, 9e9, "
            "'RuntimeError', 'away', 'service.py:note', '325b28652277')",
            (*kind, body[3]),
        )
        mirror.execute(
            "insert into borough_parked (handler, generation, topic, event_id, type, key, sequence, body, "
            "attempts, parked_at, due) values ('mirror.note', 1, 'bank.Bank', '01a2-0', 'bank.Bank.Booked', 'a', 1, ?, "
            "3, 1, 1)",
            (body[0],),
        )
    async with start(System([BankService, MirrorService]), data=data) as running:
        assert await running.client(Bank).order("o0", 1) == Receipt(number=101, by="an earlier one")
        await running.quiet()
        assert sorted(HEARD) == [0, 1, 2]
        store = make_store(Configuration.load(tmp_path, {}), data, "mirror", SystemClock())
        await store.open()
        letters = DeadLetters(store, SystemClock())
        assert len(await letters.replay(Selection(), {"mirror.note"})) == 1
        await store.close()
        await running.quiet()
        assert sorted(HEARD) == [0, 1, 2, 3]


async def test_tables_that_a_later_borough_has_changed_are_refused_with_service_and_remedy(
    tmp_path: Path,
) -> None:
    own = borough_migrations("sqlite")
    later = Migration(f"{len(own) + 1:04}_less.sql", "drop table borough_marks;")
    store = make_store(Configuration.load(tmp_path, {}), tmp_path, "bank", SystemClock())
    await store.open()
    await store.migrate(OWN, [*own, later])
    await store.close()
    with pytest.raises(
        MigrationRefused, match=r"^bank: a later version of Borough .*_less.* Run that version"
    ):
        async with start(System([BankService]), data=tmp_path):
            pass


@pytest.mark.parametrize(
    ("dialect", "digest"),
    [
        ("sqlite", "4066a26b4430a12c"),
        ("postgres", "f6000ca269bd5247"),
    ],
)
def test_what_was_applied_by_an_earlier_borough_is_as_it_was(dialect: Dialect, digest: str) -> None:
    scripts = "".join(each.name + each.sql for each in borough_migrations(dialect)[:11])
    # Where this fails, put the script back: databases that have it would be refused.
    assert hashlib.sha256(scripts.encode()).hexdigest()[:16] == digest
