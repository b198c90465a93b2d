"""The shop keeps its data in PostgreSQL, all of it or some: nothing in its code knows."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from borough.console.counts import system_counts
from borough.engines.postgres import PostgresServer
from borough.errors import MigrationRefused
from borough.observing.gathering import points_of
from borough.runtime.host import Host
from borough.runtime.system import System
from borough.stores.migrations import migrations_of
from borough.testing import start
from shop.accounts.contract import Accounts
from shop.conftest import RunningIssuer, running_issuer
from shop.notifications.contract import Notifications
from shop.orders.contract import Orders, OrderState
from shop.search.contract import Search
from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]

SHOP = Path(__file__).parents[2] / "examples" / "shop"
_numbers = count(1)


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[RunningIssuer]:
    async with running_issuer(tmp_path) as found:
        yield found


@pytest.mark.parametrize("on_sqlite", [(), ("search", "notifications")])
async def test_a_checkout_passes_through_all_five(
    postgres_server: PostgresServer,
    issuer: RunningIssuer,
    tmp_path: Path,
    on_sqlite: tuple[str, ...],
) -> None:
    reference = tmp_path / "url"
    reference.write_text(f"{postgres_server.url}/shop{next(_numbers)}_{{service}}")
    settings = {
        **issuer.settings,
        "data.store": "postgres",
        "data.postgres.url": f"file:{reference}",
        **{f"services.{name}.store": "sqlite" for name in on_sqlite},
    }
    data = tmp_path / "data"
    async with start(SHOP, settings=settings, data=data) as shop:
        found = (await shop.client(Search).find("copp KETT")).items
        assert [item.name for item in found] == ["Copper Kettle"]
        account = await shop.client(Accounts).sign_up("ada@shop.example", "Ada", "correct horse")
        who = account.account_id
        await shop.client(Orders, user=who).put_in_basket(found[0].sku, 2)
        order = await shop.client(Orders, user=who, key="one").checkout("4242424242424242")
        assert order.state is OrderState.PAID
        again = await shop.client(Orders, user=who, key="one").checkout("4242424242424242")
        assert again == order
        assert (await shop.client(Search).item(found[0].sku)).stock == found[0].stock - 2
        await shop.quiet()
        assert len((await shop.client(Notifications, user=who).mails()).items) == 2
        assert len((await shop.client(Orders, user=who).orders()).items) == 1
    assert {path.stem for path in data.glob("*.db")} == set(on_sqlite)


async def test_what_waits_in_an_outbox_is_counted(
    postgres_server: PostgresServer, issuer: RunningIssuer, tmp_path: Path
) -> None:
    reference = tmp_path / "url"
    reference.write_text(f"{postgres_server.url}/shop{next(_numbers)}_{{service}}")
    flags = {**issuer.settings, "data.store": "postgres", "data.postgres.url": f"file:{reference}"}
    system = System.load(SHOP, flags=flags, environment={})
    host = Host(system, data_folder=tmp_path / "data")
    await host.start()
    try:
        measured = {point.name: point.value async for point in points_of(host)}
        counted = await system_counts(host, datetime.now(UTC))
    finally:
        await host.stop()
    assert measured["borough.outbox.waiting"] == 0
    assert counted.services["orders"].waiting == 0


def test_migrations_for_another_store_only_are_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "0001_notes.sql").write_text("create table notes (id integer)")
    assert [made.name for made in migrations_of(folder, "sqlite")] == ["0001_notes.sql"]
    with pytest.raises(MigrationRefused, match="are for sqlite, and its database is postgres"):
        migrations_of(folder, "postgres")


def test_an_empty_folder_of_migrations_is_none(tmp_path: Path) -> None:
    for dialect in ("sqlite", "postgres"):
        (tmp_path / "notes" / "migrations" / dialect).mkdir(parents=True)
    assert migrations_of(tmp_path / "notes", "postgres") == ()
    script = tmp_path / "notes" / "migrations" / "sqlite" / "0001_notes.sql"
    script.write_text("create table notes (id integer)")
    assert [made.name for made in migrations_of(tmp_path / "notes", "sqlite")] == ["0001_notes.sql"]
    with pytest.raises(MigrationRefused, match="are for sqlite, and its database is postgres"):
        migrations_of(tmp_path / "notes", "postgres")
