"""Migrations that are revisions of Alembic: applied, recorded and judged like others, as far as that goes."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from borough.clock import SystemClock
from borough.errors import MigrationRefused
from borough.services.settings import Secret
from borough.stores.migrations import migrations_of
from borough.stores.postgres import PostgresStore
from borough.stores.postgres.expand import doubts, expands, refuse_contraction
from tests.servers.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

ENV = """
from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
"""
ANOTHER_WAY = """
from alembic import context
from sqlalchemy import engine_from_config

engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.")
"""
HEAD = '''"""{id}"""
import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = {down}
'''
MADE = """
def upgrade():
    op.create_table(
        "item",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.bulk_insert(sa.table("item", sa.column("id"), sa.column("name")), [
        {"id": 1, "name": "one"}, {"id": 2, "name": "two"},
    ])
"""
DOUBLED = """
expands = True

def upgrade():
    op.add_column("item", sa.Column("long_name", sa.Text))
    bind = op.get_bind()
    for number, name in bind.execute(sa.text("select id, name from item order by id")).all():
        bind.execute(sa.text("update item set long_name = :n where id = :i"), {"n": name * 2, "i": number})
"""
FAILS = """
def upgrade():
    op.drop_column("item", "long_name")
    op.create_index("name_once", "nothing", ["name"])
"""
COMMITS = """
def upgrade():
    op.drop_column("item", "long_name")
    op.execute("commit")
"""


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The folder of a service with two revisions."""
    write(tmp_path, "made", None, MADE)
    write(tmp_path, "doubled", "made", DOUBLED)
    (tmp_path / "migrations/alembic/env.py").write_text(ENV)
    return tmp_path


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    """One whose database is empty."""
    store = PostgresStore(Secret(postgres_url), service="shop", clock=SystemClock())
    await store.open()
    yield store
    await store.close()


def write(service: Path, revision: str, down: str | None, body: str) -> Path:
    folder = service / "migrations/alembic/versions"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{revision}_of_items.py"
    path.write_text(HEAD.format(id=revision, down=repr(down)) + body)
    return path


async def migrate(store: PostgresStore, service: Path) -> list[str]:
    return list(await store.migrate("service", migrations_of(service, "postgres")))


async def versions(store: PostgresStore) -> list[str]:
    return await store.all(str, "select version_num from alembic_version")


async def test_revisions_are_applied_once_in_their_order_and_recorded(
    service: Path, store: PostgresStore
) -> None:
    assert await migrate(store, service) == ["0001_made.py", "0002_doubled.py"]
    assert await migrate(store, service) == []
    assert await store.all(str, "select long_name from item order by id") == ["oneone", "twotwo"]
    assert await versions(store) == ["doubled"]
    recorded = "select name from borough_migrations where space = 'service' and expands"
    assert await store.all(str, recorded) == ["0002_doubled.py"]


@pytest.mark.parametrize(("body", "said"), [(FAILS, "nothing"), (COMMITS, "COMMIT is not for")])
async def test_a_revision_that_fails_leaves_nothing_and_those_before_it_stay(
    service: Path, store: PostgresStore, body: str, said: str
) -> None:
    write(service, "broken", "doubled", body)
    with pytest.raises(MigrationRefused, match=f"0003_broken.py.*{said}"):
        await migrate(store, service)
    assert await versions(store) == ["doubled"]
    assert await store.one(int, "select count(long_name) from item") == 2


async def test_a_database_that_alembic_has_migrated_before_is_taken_over(
    service: Path, store: PostgresStore, postgres_url: str
) -> None:
    before = await asyncpg.connect(postgres_url)
    await before.execute(
        "create table item (id bigint primary key, name text not null);"
        "create table alembic_version (version_num varchar(32) primary key);"
        "insert into alembic_version values ('made'); insert into item values (7, 'old')"
    )
    await before.close()
    assert await migrate(store, service) == ["0001_made.py", "0002_doubled.py"]
    assert await store.all(str, "select long_name from item") == ["oldold"]


async def test_a_revision_that_was_changed_after_it_was_applied_is_refused(
    service: Path, store: PostgresStore
) -> None:
    await migrate(store, service)
    write(service, "made", None, MADE + "\n# changed\n")
    with pytest.raises(MigrationRefused, match=r"0001_made\.py.*into a new migration, a revision"):
        await migrate(store, service)


async def test_an_environment_that_takes_a_connection_of_its_own_is_refused(
    service: Path, store: PostgresStore
) -> None:
    (service / "migrations/alembic/env.py").write_text(ANOTHER_WAY)
    with pytest.raises(MigrationRefused, match="did not use the connection"):
        await migrate(store, service)


async def test_without_alembic_the_remedy_is_told(
    service: Path, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alembic", None)
    monkeypatch.delitem(sys.modules, "borough.stores.postgres.revision", raising=False)
    with pytest.raises(
        MigrationRefused, match=r"pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH\[alembic\]'"
    ):
        await migrate(store, service)


def test_branches_and_gaps_are_refused(service: Path) -> None:
    other = write(service, "other", "made", MADE)
    with pytest.raises(MigrationRefused, match="both follow made"):
        migrations_of(service, "postgres")
    other.unlink()
    write(service, "late", "missing", MADE)
    with pytest.raises(MigrationRefused, match="follows missing, which no revision there is"):
        migrations_of(service, "postgres")


def test_revisions_are_for_postgres_only_and_not_beside_scripts(service: Path) -> None:
    with pytest.raises(MigrationRefused, match="by Alembic"):
        migrations_of(service, "sqlite")
    (service / "migrations/postgres").mkdir()
    with pytest.raises(MigrationRefused, match="keep one of the two"):
        migrations_of(service, "postgres")


def test_python_is_not_judged_and_what_it_says_of_itself_is_told_so(service: Path) -> None:
    made, doubled = migrations_of(service, "postgres")
    assert (expands(made), expands(doubled)) == (False, True)
    assert refuse_contraction([], [made])[0].startswith("0001_made.py is a revision of Alembic")
    assert refuse_contraction([], [doubled]) == []
    assert doubts([], [made, doubled]) == [
        "0002_doubled.py says of itself that it only adds; as it is Python, that was not judged"
    ]
