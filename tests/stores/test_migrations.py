"""Numbered SQL migrations: applied once and in order; what was applied is never edited."""

import asyncio
from pathlib import Path

import apsw
import pytest

from borough.errors import ConstraintViolated, MigrationRefused
from borough.ports import Migration
from borough.stores.migrations import OWN, checksum, read_migrations
from borough.stores.schema import borough_migrations
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import add, names
from tests.stores.conftest import Opener

FIRST = Migration("0001_a.sql", "create table a (id integer primary key); create table b (id);")
SECOND = Migration("0002_b.sql", "insert into a values (1); insert into a values (2)")


def write(folder: Path, *found: tuple[str, str]) -> Path:
    """A folder with these files."""
    folder.mkdir(exist_ok=True)
    for name, sql in found:
        (folder / name).write_text(sql, encoding="utf-8")
    return folder


def test_a_folder_is_read_in_order(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "m", ("0002_b.sql", "two"), ("0001_a.sql", "one"), ("README.md", "not SQL")
    )
    assert read_migrations(folder) == (
        Migration("0001_a.sql", "one", path=str(folder / "0001_a.sql")),
        Migration("0002_b.sql", "two", path=str(folder / "0002_b.sql")),
    )


FOLDERS = [
    ((("0001_a.sql", ""), ("0001_b.sql", "")), "0001_b.sql .* number that is taken. Call it 0002_"),
    (
        (("0001_a.sql", ""), ("0003_c.sql", "")),
        "0003_c.sql .* leaves a gap: number 0002 is missing",
    ),
    ((("0002_a.sql", ""),), "leaves a gap: number 0001 is missing"),
    ((("1_a.sql", ""),), "no migration's name. Call it 0001_NAME.sql"),
    ((("0001_Big.sql", ""),), "no migration's name"),
    ((("0001_big.SQL", ""),), "no migration's name"),
]


@pytest.mark.parametrize(("files", "said"), FOLDERS)
def test_a_folder_with_wrong_numbers_is_refused(
    tmp_path: Path, files: tuple[tuple[str, str], ...], said: str
) -> None:
    with pytest.raises(MigrationRefused, match=said):
        read_migrations(write(tmp_path / "m", *files))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MigrationRefused, match="Create it"):
        read_migrations(tmp_path / "nowhere")


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"select '\xff'")
    with pytest.raises(MigrationRefused, match=r"0001_a\.sql is not UTF-8"):
        read_migrations(tmp_path)


def test_a_file_with_a_nul_byte_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_bytes(b"create table a (id);\nselect \0")
    with pytest.raises(MigrationRefused, match=r"0001_a\.sql:2 holds a NUL byte"):
        read_migrations(tmp_path)


def test_line_ends_do_not_change_a_checksum() -> None:
    assert checksum("a\r\nb\rc\n") == checksum("a\nb\nc\n")
    assert checksum("a\nb") != checksum("a b")


async def test_what_is_missing_is_applied_in_order_and_once(store: SqliteStore) -> None:
    assert await store.migrate("x", [FIRST]) == ["0001_a.sql"]
    assert await store.migrate("x", [FIRST, SECOND]) == ["0002_b.sql"]
    assert await store.migrate("x", [FIRST, SECOND]) == []
    assert await store.all(int, "select id from a") == [1, 2]
    query = "select checksum from borough_migrations where name = $1"
    assert await store.one(str, query, SECOND.name) == checksum(SECOND.sql)


async def test_spaces_are_numbered_for_themselves(store: SqliteStore) -> None:
    await store.migrate("x", [FIRST])
    assert await store.migrate("y", [Migration("0001_a.sql", "create table c (id)")])


async def test_a_changed_migration_is_refused_by_name_with_the_remedy(store: SqliteStore) -> None:
    await store.migrate("x", [FIRST])
    changed = Migration(FIRST.name, FIRST.sql + " -- a word more")
    with pytest.raises(
        MigrationRefused, match=r"0001_a.sql .* was changed .* new migration, 0003_NAME.sql"
    ):
        await store.migrate("x", [changed, SECOND])
    assert await store.all(int, "select id from a") == []


async def test_a_missing_migration_is_refused_by_name_with_the_remedy(store: SqliteStore) -> None:
    await store.migrate("x", [FIRST, SECOND])
    other = Migration("0001_other.sql", FIRST.sql)
    with pytest.raises(MigrationRefused, match=r"0001_a.sql .* is missing now. Put the file back"):
        await store.migrate("x", [other, SECOND])


async def test_an_earlier_release_lives_with_later_migrations_that_only_expand(
    store: SqliteStore,
) -> None:
    grown = Migration("0003_more.sql", "alter table a add column note text not null default '';")
    await store.migrate("x", [FIRST, SECOND, grown])
    assert await store.migrate("x", [FIRST]) == []
    assert await store.migrate("x", [FIRST, SECOND, grown]) == []


async def test_an_earlier_release_is_refused_where_a_later_migration_took_something_away(
    store: SqliteStore,
) -> None:
    narrowed = Migration("0002_less.sql", "drop table a;")
    await store.migrate("x", [FIRST, narrowed])
    with pytest.raises(
        MigrationRefused,
        match=r"0002_less.sql .* newer release, and it takes away .*\. Run the release",
    ):
        await store.migrate("x", [FIRST])


async def test_tables_of_another_borough_are_refused_as_what_they_are(store: SqliteStore) -> None:
    own = borough_migrations("sqlite")
    number = len(own) + 1
    adds = Migration(f"{number:04}_more.sql", "create table borough_more (id integer);")
    takes = Migration(f"{number + 1:04}_less.sql", "drop table borough_marks;")
    await store.migrate(OWN, [*own, adds])
    assert await store.migrate(OWN, own) == []
    other = Migration(own[-1].name, "create table borough_other (id integer);")
    with pytest.raises(MigrationRefused, match=r"another version of Borough .* Run that version"):
        await store.migrate(OWN, [*own[:-1], other])
    with pytest.raises(MigrationRefused, match=r"another version of Borough .* Run that version"):
        await store.migrate(
            OWN, [*own[:-1], Migration(own[-1].name.replace(".", "_other."), "select 1")]
        )
    await store.migrate(OWN, [*own, adds, takes])
    with pytest.raises(
        MigrationRefused, match=rf"later version of Borough .*{takes.name}.* Run that version, or"
    ):
        await store.migrate(OWN, own)


async def test_a_migration_from_before_it_was_judged_counts_as_one_that_takes_away(
    opened: Opener, path: Path
) -> None:
    store = await opened()
    await store.migrate("x", [FIRST, SECOND])
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute("alter table borough_migrations drop column expands")
    connection.close()
    store = await opened()
    assert await store.migrate("x", [FIRST, SECOND]) == []
    with pytest.raises(MigrationRefused, match=r"0002_b.sql .* newer release"):
        await store.migrate("x", [FIRST])


async def test_a_failing_migration_leaves_nothing_and_what_came_before(store: SqliteStore) -> None:
    broken = Migration("0002_b.sql", "create table c (id); insert into nowhere values (1);")
    third = Migration("0003_c.sql", "create table d (id);")
    with pytest.raises(MigrationRefused, match=r"0002_b.sql .* nothing of it is kept: .*nowhere"):
        await store.migrate("x", [FIRST, broken, third])
    tables = "select name from sqlite_schema where name in ('a', 'c', 'd')"
    assert await store.all(str, tables) == ["a"]
    assert await store.migrate("x", [FIRST, SECOND]) == ["0002_b.sql"]


@pytest.mark.parametrize(
    ("sql", "line", "said"),
    [
        ("create tabel c (id);", 1, 'near "tabel": syntax error'),
        ("-- Ü\ncreate table \"é\" (id);\n\ncreate table\n  c (id,,);\n", 5, "syntax error"),
        ("create table c (id);\n\n-- x\ninsert into nowhere values (1);", 4, "no such table"),
        ("create table c (id unique);\ninsert into c values (1);\ninsert into c\n values (1);", 3,
         "UNIQUE"),
    ],
)  # fmt: skip
async def test_a_migration_that_fails_is_told_with_its_file_and_line(
    store: SqliteStore, tmp_path: Path, sql: str, line: int, said: str
) -> None:
    folder = write(tmp_path / "m", ("0001_a.sql", "create table a (id)"), ("0002_b.sql", sql))
    with pytest.raises(MigrationRefused) as caught:
        await store.migrate("x", read_migrations(folder))
    told = str(caught.value)
    assert told.startswith(f"{folder / '0002_b.sql'}:{line} failed and nothing of it is kept")
    assert said in told
    assert told.endswith("Mend that statement")


async def test_a_file_that_was_changed_or_is_gone_is_told_with_its_path(
    store: SqliteStore, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "m", ("0001_a.sql", "create table a (id)"), ("0002_b.sql", "select 1")
    )
    await store.migrate("x", read_migrations(folder))
    write(folder, ("0001_a.sql", "create table a (id, b)"))
    with pytest.raises(MigrationRefused, match=f"^{folder}/0001_a.sql was changed after"):
        await store.migrate("x", read_migrations(folder))
    write(folder, ("0001_a.sql", "create table a (id)"))
    (folder / "0002_b.sql").rename(folder / "0002_c.sql")
    with pytest.raises(MigrationRefused, match=f"^{folder}/0002_b.sql was applied .* is missing"):
        await store.migrate("x", read_migrations(folder))


@pytest.mark.parametrize(
    "sql",
    [
        "create table c (id); commit; create table d (id)",
        "begin; create table c (id)",
        "create table c (id); rollback",
        "savepoint a",
        "pragma foreign_keys = off",
        "attach ':memory:' as x",
        "create table c (id unique on conflict rollback)",
        "insert or rollback into a values (1)",
        "create trigger t before insert on a begin select raise(rollback, 'no'); end",
    ],
)
async def test_transaction_control_in_a_migration_is_refused(store: SqliteStore, sql: str) -> None:
    await store.migrate("x", [FIRST])
    with pytest.raises(MigrationRefused, match=r"0002_b\.sql"):
        await store.migrate("x", [FIRST, Migration("0002_b.sql", sql)])
    assert await store.all(str, "select name from sqlite_schema where name in ('c', 'd')") == []
    await add(store, "a")
    assert await names(store) == ["a"]


async def test_a_table_can_be_rebuilt_without_cascades(store: SqliteStore) -> None:
    made = Migration(
        "0001_a.sql",
        "create table parent (id integer primary key);"
        "create table child (id integer references parent (id) on delete cascade);"
        "insert into parent values (1); insert into child values (1);",
    )
    rebuilt = Migration(
        "0002_b.sql",
        "create table parent2 (id integer primary key, name text);"
        "insert into parent2 (id) select id from parent;"
        "drop table parent; alter table parent2 rename to parent;",
    )
    await store.migrate("x", [made, rebuilt])
    assert await store.all(int, "select id from child") == [1]


async def test_a_migration_that_breaks_a_foreign_key_is_refused(store: SqliteStore) -> None:
    await add(store, "a")
    async with store.transaction() as tx:
        await tx.execute("insert into line (item_id) values (1)")
    with pytest.raises(MigrationRefused, match=r"row of 'line' whose foreign key .* 'item'"):
        await store.migrate("x", [Migration("0001_a.sql", "delete from item")])
    assert await names(store) == ["a"]
    with pytest.raises(ConstraintViolated):  # keys are enforced again
        async with store.transaction() as tx:
            await tx.execute("delete from item")


async def test_a_migration_may_hold_triggers_and_text_with_semicolons(store: SqliteStore) -> None:
    sql = """
    create table a (t text); -- one; two
    create trigger t after insert on a begin delete from a where t = 'x;y'; select 1; end;
    insert into a values ('commit;');
    """
    await store.migrate("x", [Migration("0001_a.sql", sql)])
    assert await store.all(str, "select t from a") == ["commit;"]


async def test_migrating_waits_for_running_bodies(store: SqliteStore) -> None:
    adding = [asyncio.ensure_future(add(store, f"{n}")) for n in range(5)]
    await asyncio.sleep(0)
    await store.migrate("x", [FIRST])
    adding += [asyncio.ensure_future(add(store, f"later {n}")) for n in range(5)]
    await asyncio.gather(*adding)
    assert len(await names(store)) == 10
