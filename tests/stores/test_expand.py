"""Whether the running version can live with new migrations: they may add, and take nothing away."""

from pathlib import Path

import pytest

from borough.ports import Migration
from borough.stores.migrations import read_migrations
from borough.stores.schema import borough_migrations
from borough.stores.sqlite.expand import doubts, refuse_contraction

ROOT = Path(__file__).parent.parent.parent
OLD = """
create table account (id integer primary key, mail text not null unique);
create table orders (
    id integer primary key,
    account integer not null references account (id) on delete cascade,
    state text not null default 'new' check (state in ('new', 'paid')),
    cents integer not null,
    note text
);
create table plain (a, b varchar(10), c text collate nocase, g as (a + 1));
create table keyed (sku text, day text, primary key (sku, day)) strict, without rowid;
create index orders_by_account on orders (account);
create unique index plain_a on plain (a) where b is not null;
create view paid as select id, cents from orders where state = 'paid';
create trigger orders_note after update on orders begin select new.note; end;
"""
FIRST = Migration("0001_first.sql", OLD)


def judged(sql: str) -> list[str]:
    return refuse_contraction([FIRST], [Migration("0002_next.sql", sql)])


def rebuilt(table: str, definition: str, columns: str) -> str:
    """A table that is made anew, as SQLite wants it for most changes."""
    return (
        f"create table anew ({definition}; insert into anew ({columns}) select {columns} from {table};"
        f"drop table {table}; alter table anew rename to {table};"
    )


ACCOUNT = "id integer primary key, mail text not null"
GROWS = [
    "",
    "create table lines (id integer primary key, order_id integer references orders (id))",
    "create view unpaid as select * from orders where state = 'new'",
    "create index orders_by_state on orders (state)",
    "drop index orders_by_account",
    "alter table orders add column reason text",
    "alter table orders add column reason text not null default ''",
    "alter table orders add column tax integer not null default 0 check (tax >= 0)",
    "alter table orders add column kind text check (kind in ('a', 'b'))",
    "alter table orders add column parent integer references orders (id)",
    "alter table orders add column twice as (cents * 2)",
    "alter table account add column phone text; create unique index phones on account (phone)",
    "alter table account add column phone text; create unique index phones on account (phone, id)",
    "create table t (a not null, b unique); create trigger tt after insert on t begin select 1; end",
    "insert into account values (1, 'a@b')",
    "create table gone (a); drop table gone",
    "create temp table scratch (a); drop table scratch",
    rebuilt("account", ACCOUNT + " unique, phone text)", "id, mail"),
    rebuilt("account", 'id INTEGER PRIMARY KEY, "mail"  TEXT NOT NULL UNIQUE)', "id, mail"),
    rebuilt(
        "keyed", "sku text not null, day text, note any, primary key (sku, day)) strict, without rowid", "sku, day"
    ),
]  # fmt: skip


@pytest.mark.parametrize("sql", GROWS)
def test_what_only_adds_is_fine(sql: str) -> None:
    assert judged(sql) == []


SHRINKS = [
    ("drop table plain", "the table plain is gone, and the running version uses it. Leave it, and"),
    ("drop trigger orders_note; drop table orders", "the column id of the view paid is gone"),
    ("alter table plain rename to simple", "the table plain is named simple now"),
    ("drop view paid", "the view paid is gone"),
    (
        "drop view paid; create view paid as select id from orders where state = 'paid'",
        "the column cents of the view paid is gone",
    ),
    ("drop view paid; create table paid (id, cents)", "the view paid is gone"),
    ("alter table orders drop column note", "cannot be applied: error in trigger orders_note"),
    ("alter table plain drop column c", "the column plain.c is gone"),
    ("alter table plain rename column c to d", "the column plain.c is named d now"),
    (
        "alter table orders add column tax integer not null",
        "the new column orders.tax is not null and has no default",
    ),
    (
        rebuilt("account", "id integer primary key, mail text unique not null, phone text not null)", "id, mail"),
        "the new column account.phone is not null and has no default",
    ),
    (
        rebuilt("account", "id integer primary key, mail blob not null unique)", "id, mail"),
        "the type of the column account.mail is text before and blob now",
    ),
    (
        rebuilt("plain", "a text, b varchar(10), c text collate nocase, g as (a + 1))", "a, b, c"),
        "the type of the column plain.a is no type before and text now",
    ),
    (
        rebuilt("plain", "a, b varchar(10), c text, g as (a + 1))", "a, b, c"),
        "the collation of the column plain.c is binary now",
    ),
    (
        rebuilt("plain", "a, b varchar(10), c text collate nocase, g)", "a, b, c"),
        "the column plain.g is no longer generated",
    ),
    (
        rebuilt("plain", "a, b varchar(10) not null, c text collate nocase, g as (a + 1))", "a, b, c"),
        "the column plain.b is not null now, and the running version may write null",
    ),
    (
        rebuilt("plain", "a, b varchar(10) default 'x', c text collate nocase, g as (a + 1))", "a, b, c"),
        "the default of the column plain.b is null before and 'x' now",
    ),
    (
        rebuilt("account", "id integer primary key, mail text not null)", "id, mail"),
        "the unique constraint on mail of account is gone",
    ),
    (
        rebuilt("account", "mail text not null primary key, id integer)", "id, mail"),
        "the primary key of account is another one",
    ),
    (
        rebuilt("account", ACCOUNT + " unique, check (mail like '%@%'))", "id, mail"),
        "the table account has the new check (mail like '%@%')",
    ),
    (
        rebuilt("account", ACCOUNT + " unique) strict", "id, mail"),
        "the table account is strict now",
    ),
    (
        rebuilt("account", ACCOUNT + " unique) without rowid", "id, mail"),
        "the table account has no rowid any more",
    ),
    (
        "alter table orders add column tax integer not null default -1 check (tax >= 0)",
        "the table orders has the new check (tax >= 0)",
    ),
    (
        "alter table orders add column tax integer default 0 check (tax <= cents)",
        "the table orders has the new check (tax <= cents)",
    ),
    ("create unique index once on orders (account)", "the table orders has a new unique constraint on account"),
    (
        "create unique index once on orders (lower(state))",
        "the table orders has a new unique constraint on an expression",
    ),
    (
        "alter table account add column phone text default 'x'; create unique index p on account (phone)",
        "the table account has a new unique constraint on phone",
    ),
    ("drop index plain_a", "the unique constraint on a of plain is gone"),
    (
        "drop index plain_a; create unique index plain_a on plain (a)",
        "the table plain has a new unique constraint on a",
    ),
    (
        "create trigger t before delete on orders begin select 1; end",
        "the trigger t acts on what the running version does to orders",
    ),
    ("drop trigger orders_note", "the trigger orders_note is gone"),
    (
        "drop trigger orders_note; create trigger orders_note after insert on orders begin select 1; end",
        "the trigger orders_note is another one",
    ),
    ("create table account (a)", "it cannot be applied: table account already exists. Mend it"),
    ("creat", "it cannot be applied: near"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "said"), SHRINKS)
def test_what_takes_something_away_is_refused_with_the_reason(sql: str, said: str) -> None:
    sentences = judged(sql)
    assert any(
        sentence.startswith(f"0002_next.sql: {said}") or said in sentence for sentence in sentences
    ), sentences
    assert all(
        sentence.startswith("0002_next.sql: ") and sentence.count(". ") for sentence in sentences
    )


def orders(**changed: str) -> str:
    parts = {
        "account": "integer not null references account (id) on delete cascade",
        "state": "text not null default 'new' check (state in ('new', 'paid'))",
        "cents": "integer not null",
        "note": "text",
        **changed,
    }
    columns = ", ".join(f"{name} {part}" for name, part in parts.items())
    trigger = "create trigger orders_note after update on orders begin select new.note; end;"
    return (
        "drop view paid;"
        + rebuilt(
            "orders", f"id integer primary key, {columns})", "id, account, state, cents, note"
        )
        + trigger
        + "create view paid as select id, cents from orders where state = 'paid';"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"state": "text not null default 'new' check (state in ('new', 'paid', 'sent'))"}, None),
        ({"state": "text not null default 'new'"}, None),
        ({"cents": "integer not null default 0"}, None),
        ({"state": "text not null default 'new' check (state in ('new'))"}, "the new check"),
        ({"state": "text not null default 'old' check (state in ('new', 'paid'))"}, "'new' before and 'old' now"),
        ({"state": "text not null check (state in ('new', 'paid'))"}, "'new' before and null now"),
        ({"account": "integer not null references account (id)"}, "no longer says ON DELETE CASCADE"),
        ({"account": "integer not null"}, "no longer says ON DELETE CASCADE"),
        ({"cents": "integer not null references plain (a)"}, "columns cents of orders must point to plain now"),
    ],
)  # fmt: skip
def test_a_table_that_is_made_anew_is_compared_part_by_part(
    changed: dict[str, str], said: str | None
) -> None:
    sentences = judged(orders(**changed))
    if said is None:
        assert sentences == []
    else:
        assert any(said in sentence for sentence in sentences), sentences


def test_a_table_that_is_made_anew_must_have_its_triggers_again() -> None:
    sql = rebuilt("orders", "id integer primary key, cents integer)", "id, cents")
    sentences = judged("drop view paid;" + sql)
    assert any("the trigger orders_note is gone" in sentence for sentence in sentences)


def test_a_sentence_names_the_migration_that_did_it() -> None:
    new = [
        Migration("0002_a.sql", "create table x (a)"),
        Migration("0003_b.sql", "alter table plain drop column c"),
        Migration("0004_c.sql", "drop table x; drop view paid"),
    ]
    assert [sentence.partition(":")[0] for sentence in refuse_contraction([FIRST], new)] == [
        "0003_b.sql",
        "0004_c.sql",
    ]


@pytest.mark.parametrize(
    "sql", ["attach '{}' as y", "vacuum into '{}'", "begin", "pragma cache_size = 7"]
)
def test_what_a_migration_may_not_say_is_refused_and_not_run(tmp_path: Path, sql: str) -> None:
    place = tmp_path / "other.db"
    other = f"{sql.format(place)}; create table y.x (a)"
    (sentence,) = judged(other)
    assert sentence.startswith(
        "0002_next.sql: BEGIN, COMMIT, SAVEPOINT, ATTACH, VACUUM and PRAGMA "
    )
    assert refuse_contraction([Migration("0001_first.sql", other)], [])
    assert not place.exists()


def test_what_a_later_migration_puts_back_is_fine() -> None:
    new = [
        Migration("0002_a.sql", "drop view paid"),
        Migration(
            "0003_b.sql", "create view paid as select id, cents from orders where state = 'paid'"
        ),
    ]
    assert refuse_contraction([FIRST], new) == []


def test_a_service_without_migrations_may_have_its_first() -> None:
    assert refuse_contraction([], [FIRST]) == []
    assert refuse_contraction([FIRST], []) == []


def test_a_table_for_full_text_search_is_compared_whole() -> None:
    old = [Migration("0001_a.sql", "create virtual table words using fts5(text)")]
    grown = Migration("0002_b.sql", "create virtual table more using fts5(text)")
    assert refuse_contraction(old, [grown]) == []
    other = Migration(
        "0002_b.sql", "drop table words; create virtual table words using fts5(text, more)"
    )
    assert any("words is made in another way" in s for s in refuse_contraction(old, [other]))


def test_the_store_own_collation_is_known() -> None:
    old = [Migration("0001_a.sql", "create table t (price text collate decimal unique)")]
    new = [Migration("0002_b.sql", "create index by_price on t (price)")]
    assert refuse_contraction(old, new) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("delete from orders where state = 'new'", "0002_next.sql: it deletes rows of orders while"),
        ("update orders set note = ''", "0002_next.sql: it changes rows of orders while"),
        ("with old as (select 1) delete from orders", "it deletes rows of orders"),
        (
            rebuilt("plain", "a, b varchar(10), c text collate nocase, g as (a + 1))", "a, b, c"), None,
        ),
        ("alter table plain drop column c", None),
        ("create table t (a); insert into t values (1); update t set a = 2; delete from t", None),
        (orders(state="text not null default 'new'"), None),
        (orders(cents="integer"), "the column orders.cents may be null now"),
        (
            "create table lines (order_id integer references orders (id))",
            "rows of orders that lines points to cannot be deleted by the running version",
        ),
        (
            "drop view paid; create view paid as select id, cents from orders", "the view paid is made in another way",
        ),
    ],
)  # fmt: skip
def test_what_should_be_looked_at_is_told(sql: str, said: str | None) -> None:
    told = doubts([FIRST], [Migration("0002_next.sql", sql)])
    if said is None:
        assert told == []
    else:
        (sentence,) = told
        assert said in sentence
        assert sentence.startswith("0002_next.sql: ")


def test_the_migrations_of_the_shop_expand() -> None:
    for folder in sorted((ROOT / "examples/shop").glob("*/migrations/sqlite")):
        found = read_migrations(folder)
        for count in range(len(found)):
            assert refuse_contraction(found[:count], found[count:]) == []


def test_boroughs_own_tables_are_judged_as_those_of_a_service() -> None:
    own = borough_migrations("sqlite")
    for count in range(len(own)):
        assert refuse_contraction(own[:count], own[count:]) == []
    gone = Migration(f"{len(own) + 1:04}_gone.sql", "drop table borough_marks")
    (said,) = refuse_contraction(own, [gone])
    assert "the table borough_marks is gone" in said
