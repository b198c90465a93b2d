"""The mode `processes`: a test stands beside a fleet, sees what it may see, and is told what it may not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest

from borough import Transaction
from borough.clock import SystemClock
from borough.errors import BoroughError, ConfigurationError, Forbidden, Unavailable
from borough.runtime.system import System, contract_classes, needed_contracts
from borough.testing import ManualClock, NotQuiet, calls, fake, start
from tests.fleet.village import CLERK_SERVICE, is_alive, write_elsewhere, write_village


def contract(root: Path, service: str) -> Any:
    """A contract of the village, of which only the disk knows."""
    system = System.load(root, environment={})
    return next(cls for cls in system.contracts if cls.__name__ == service.capitalize())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    # A package of its own for each test: in this process a name is imported once.
    name = f"village_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    return write_village(tmp_path, name)


async def test_clients_events_and_databases_are_as_in_one_process(root: Path) -> None:
    clerk, ledger = contract(root, "clerk"), contract(root, "ledger")
    async with start(root, mode="processes") as village:
        pids = await village.client(clerk).pids()
        assert len({pids.clerk, pids.ledger, os.getpid()}) == 3
        number = await village.client(clerk).write("a")
        await village.quiet()
        assert [each.id for each in await village.client(clerk).heard()] == [number]
        database = village.database("ledger")
        assert await database.one(str, "select text from entries") == "a"
        async with database.transaction() as tx:
            await tx.execute("update entries set text = 'b'")
        async with database.snapshot() as snapshot:
            assert await snapshot.all(str, "select text from entries") == ["b"]

        async def count(tx: Transaction) -> int:
            return await tx.one(int, "select count(*) from entries")

        assert await database.transact(count) == 1
        assert database.dialect == "sqlite"
        assert await village.client(ledger, caller="clerk").secret() == 42
        with pytest.raises(Forbidden, match="nobody does not declare"):
            village.client(ledger, caller="nobody")


async def test_a_fake_answers_services_in_other_processes(root: Path) -> None:
    clerk, ledger = contract(root, "clerk"), contract(root, "ledger")
    faked = cast(Any, fake(ledger, secret=1, pid=77))
    async with start(root, mode="processes", fakes={ledger: faked}, edge=True) as village:
        assert (await village.client(clerk).pids()).ledger == 77
        assert calls(faked) == [("secret", ()), ("pid", ())]
        assert village.edge_url.startswith("http://127.0.0.1:")


async def test_a_fake_of_a_service_elsewhere_is_asked_and_the_real_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    root = write_elsewhere(tmp_path, "faked_market")
    (service,) = System.load(root, environment={}).services
    (deals,) = needed_contracts([service])
    (camera,) = contract_classes(service)
    async with start(root, mode="processes", fakes={deals: fake(deals, left=77)}) as market:
        assert await cast(Any, market.client(camera)).left() == 77


async def test_what_only_one_process_can_have_is_refused(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="a clock of the test's cannot be had"):
        async with start(root, mode="processes", clock=ManualClock()):
            pass
    with pytest.raises(ConfigurationError, match="need the folder of the system"):
        async with start(System.load(root), mode="processes"):
            pass
    async with start(root, mode="processes", only=["ledger"]) as village:
        with pytest.raises(ConfigurationError, match="the instance of ledger lives in another"):
            village.service("ledger")
        with pytest.raises(ConfigurationError, match="no service 'clerk' with a database"):
            village.database("clerk")
        with pytest.raises(Unavailable, match="clerk"):
            await village.client(contract(root, "clerk")).heard()


async def test_who_gives_up_a_look_into_a_database_takes_it_from_nobody(root: Path) -> None:
    clerk = contract(root, "clerk")
    async with start(root, mode="processes") as village:
        pids = await village.client(clerk).pids()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await village.database("ledger").one(int, "select 1")
        assert await village.database("ledger").one(int, "select 1") == 1
    assert not [pid for pid in (pids.clerk, pids.ledger) if is_alive(pid)]


async def test_no_process_is_left_where_a_database_cannot_be_looked_into(root: Path) -> None:
    clerk = contract(root, "clerk")
    async with start(root, mode="processes") as village:
        pids = await village.client(clerk).pids()
        place = village.data_folder / "ledger.db"
        place.rename(place.with_suffix(".gone"))
        place.mkdir()
        with pytest.raises(ConfigurationError, match="ledger"):
            await village.database("ledger").one(int, "select 1")
    assert not [pid for pid in (pids.clerk, pids.ledger) if is_alive(pid)]


TICKING = (
    CLERK_SERVICE.replace(
        "import Database, Service, on", "import Database, Service, every, on, projection"
    )
    + """
    @every("1h")
    async def forget(self, tx):
        await tx.execute("delete from heard")

    @every("1h")
    async def stumble(self):
        raise ValueError("not today")

    @projection(Added, tables=["seen"], generation=1)
    async def see(self, event, tx):
        await tx.execute("insert into seen (id) values ($1)", event.id)
"""
)
TABLES = """
create table heard (id integer primary key, pid integer not null);
create table seen (id integer primary key);
"""


async def test_schedules_and_projections_are_begun_from_outside(root: Path) -> None:
    (root / "clerk" / "service.py").write_text(TICKING.replace("village.", f"{root.name}."))
    (root / "clerk/migrations/sqlite/0001_heard.sql").write_text(TABLES)
    clerk = contract(root, "clerk")
    async with start(root, mode="processes") as village:
        await village.client(clerk).write("a")
        await village.quiet()
        await village.tick("clerk.forget")
        assert await village.client(clerk).heard() == []
        with pytest.raises(BoroughError, match=r"clerk\.stumble: ValueError: not today"):
            await village.tick("clerk.stumble")
        with pytest.raises(ConfigurationError, match=r"no running service has the schedule 'a\.b'"):
            await village.tick("a.b")
        await village.database("clerk").one(int, "select id from seen")
        await village.rebuild("clerk.see")
        await village.quiet()
        assert await village.database("clerk").all(int, "select id from seen") == [1]


async def test_a_handler_that_fails_is_named_where_it_does_not_become_quiet(root: Path) -> None:
    failing = CLERK_SERVICE.replace("insert into heard (id, pid)", "insert into nowhere (id, pid)")
    (root / "clerk" / "service.py").write_text(failing.replace("village.", f"{root.name}."))
    clerk = contract(root, "clerk")
    async with start(root, mode="processes") as village:
        await village.client(clerk).write("a")
        with pytest.raises(NotQuiet, match=r"(?s)clerk\.note has failed .*nowhere"):
            await village.quiet(timeout_s=2.0)


async def test_what_was_given_up_in_another_process_is_told_once(root: Path) -> None:
    failing = CLERK_SERVICE.replace("insert into heard (id, pid)", "insert into nowhere (id, pid)")
    (root / "clerk" / "service.py").write_text(failing.replace("village.", f"{root.name}."))
    clerk = contract(root, "clerk")
    async with start(root, mode="processes", settings={"events.attempts": 1}) as village:
        await village.client(clerk).write("a")
        with pytest.raises(NotQuiet, match=r"clerk\.note has given up event .*nowhere"):
            await village.quiet()
        await village.quiet()


async def test_a_service_that_cannot_start_is_told_and_nothing_is_left(root: Path) -> None:
    (root / "ledger/migrations/sqlite/0001_entries.sql").write_text("create nonsense")
    before = SystemClock().monotonic()
    with pytest.raises(BoroughError, match=r"ledger\.1: ledger: .*/0001_entries\.sql:1"):
        async with start(root, mode="processes"):
            pass
    assert SystemClock().monotonic() - before < 60
