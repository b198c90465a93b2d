"""What a rollout lets pass of a script for PostgreSQL, and what it refuses."""

import pytest

from borough.ports import Migration
from borough.stores.postgres.expand import doubts, expands, refuse_contraction


def _script(sql: str) -> Migration:
    return Migration("0002_next.sql", sql)


@pytest.mark.parametrize(
    "sql",
    [
        "create table t (id bigint primary key, a int not null check (a > 0), b text unique)",
        "create unlogged table t (a int)",
        "create index t_a on t (a)",
        "create type mood as enum ('glad')",
        "comment on table t is 'what;\nis; drop table t'",
        "insert into t values ('it''s; drop table t')",
        "alter table t add column a int",
        'ALTER TABLE IF EXISTS ONLY "shop"."t" ADD COLUMN IF NOT EXISTS a numeric(10, 2)',
        "alter table t add column a int not null default 0",
        "alter table t add column a int default 0, add column b text default 'check, drop column c'",
        "alter table t /* a, drop column b */ add column a int; -- drop table t",
    ],
)
def test_what_only_adds_passes(sql: str) -> None:
    assert refuse_contraction([], [_script(sql)]) == []
    assert expands(_script(sql))
    assert doubts([], [_script(sql)]) == []


@pytest.mark.parametrize(
    "sql",
    [
        "alter table t add column a int, drop column b",
        "alter table t add column a numeric(10, 2), drop column b",
        "alter table t add column a int default 0, alter column b set not null",
        "alter table t add column a int, rename to z",
        "alter table t add column a int primary key",
        "alter table t add column a int generated always as (b + 1) stored",
        "alter table t add column a bigserial",
        'alter table t add column a "serial"',
        "alter table t add column a int not null",
        "alter table t add column a int not null default null",
        "alter table t add column a int unique",
        "alter table t add column a int references other (id)",
        "alter table t add column a int default 0 check (a > 0)",
        "alter table t add constraint some check (a > 0)",
        "alter table t",
        "create unique index t_a on t (a)",
        "create function f() returns void language sql as 'drop table t'",
        "create function f() returns int language sql begin atomic; drop table t; end",
        "do $$ begin drop table t; end $$",
        "select f()",
        "truncate t",
        r"insert into t values ('a\'); drop table t; comment on table t is 'b'",
    ],
)
def test_what_takes_away_or_cannot_be_read_is_refused(sql: str) -> None:
    assert "does more than to add" in refuse_contraction([], [_script(sql)])[0]
    assert not expands(_script(sql))


def test_what_changes_rows_passes_and_is_told() -> None:
    script = _script("update t\n  set a = 1; delete from t where a = 2")
    assert refuse_contraction([], [script]) == []
    assert doubts([], [script]) == [
        "0002_next.sql changes rows: update t set a = 1",
        "0002_next.sql changes rows: delete from t where a = 2",
    ]
