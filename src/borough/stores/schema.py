"""Borough's own tables in every service's database: the migrations of the space `borough`.

They stand beside the service's tables so that an event's row, its effects and the epoch that allows
them commit together. Applied migrations are never edited; a change is a new one. They are written for SQLite; what
PostgreSQL calls otherwise is put into its words, and the outbox alone is another there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from borough.ports import Migration
from borough.services.data import Dialect

__all__ = [
    "INSERT_OUTBOX",
    "INSERT_SCHEDULED",
    "INSERT_SEVERAL",
    "MOVE_SCHEDULED",
    "PLACES",
    "SEVERAL",
    "borough_migrations",
]

PLACES: Final = 20
"""On PostgreSQL: how many bits of an event's number are its place within its transaction."""

INSERT_OUTBOX: Final = (
    "insert into borough_outbox (id, topic, type, key, body) values ($1, $2, $3, $4, $5)"
)
"""How every store puts what a transaction has published beside its rows."""

SEVERAL: Final = 8
INSERT_SEVERAL: Final = INSERT_OUTBOX + "".join(
    f", ({', '.join(f'${5 * place + column}' for column in range(1, 6))})"
    for place in range(1, SEVERAL)
)
"""The same for so many events at once, where a statement costs more than a row."""

INSERT_SCHEDULED: Final = (
    "insert into borough_scheduled (due, id, topic, type, key, body) "
    "values ($1, $2, $3, $4, $5, $6)"
)
"""And what it has published for later."""

_MOVE = """
insert into borough_outbox (id, topic, type, key, body)
select id, topic, type, key, body from borough_scheduled
where (due, number) <= ($1, $2) order by due, number
"""
_REMOVE = "delete from borough_scheduled where (due, number) <= ($1, $2)"
_MOVE_AT_ONCE = f"""
with gone as (
    delete from borough_scheduled where (due, number) <= ($1, $2)
    returning due, number, id, topic, type, key, body
)
insert into borough_outbox (sequence, id, topic, type, key, body)
select (pg_current_xact_id()::text::bigint << {PLACES}) + row_number() over (order by due, number),
 id, topic, type, key, body from gone
"""

MOVE_SCHEDULED: Final[Mapping[Dialect, Sequence[str]]] = {
    "sqlite": (_MOVE, _REMOVE),
    "postgres": (_MOVE_AT_ONCE,),
}
"""How what is due takes its place in the outbox, up to a time and a number; each tells how many that were.

Two statements must see the same rows. Where others commit between them it is one, which moves what it
has taken away and nothing else.
"""

_EVENTS = """
create table borough_outbox (
    sequence integer primary key autoincrement,  -- never reused: the order in which rows committed
    id text not null,
    topic text not null,
    type text not null,
    key text,
    body blob not null
);

create table borough_inbox (
    handler text not null,
    generation integer not null,
    event_id text not null,
    done_at double precision not null,
    primary key (handler, generation, event_id)
) without rowid;

create table borough_positions (
    handler text not null,
    topic text not null,
    position integer not null,
    primary key (handler, topic)
) without rowid;

create table borough_leases (
    role text not null primary key,
    owner text not null,
    epoch integer not null,                      -- grows with every taking; rows are never deleted
    until double precision not null
) without rowid;

create table borough_schedules (
    name text not null primary key,
    last_run double precision not null
) without rowid;
"""

_ANSWERS = """
create table borough_answers (
    operation text not null,
    scope text not null,
    key text not null,
    fingerprint blob not null,
    kind text not null,
    answer blob not null,
    created_at double precision not null,
    primary key (operation, scope, key)
) without rowid;

create table borough_marks (
    operation text not null,
    scope text not null,
    key text not null,
    owner text not null,
    until double precision not null,
    primary key (operation, scope, key)
) without rowid;
"""

_WAITING = """
create table borough_scheduled (                 -- published for later; moved to the outbox when due
    number integer primary key autoincrement,
    due double precision not null,               -- wall-clock time, seconds since 1970
    id text not null unique,
    topic text not null,
    type text not null,
    key text,
    body blob not null
);
create index borough_scheduled_due on borough_scheduled (due, number);

create table borough_attempts (                  -- begun on events that were at work when a process died
    handler text not null,
    generation integer not null,
    event_id text not null,
    attempts integer not null,
    begun_at double precision not null,
    primary key (handler, generation, event_id)
) without rowid;

create table borough_parked (                    -- events that failed, and what follows them under their keys
    number integer primary key autoincrement,    -- the order in which they are handled, per key
    handler text not null,
    generation integer not null,
    topic text not null,
    event_id text not null,
    type text not null,
    key text,
    sequence integer not null,
    body blob not null,
    attempts integer not null,                   -- begun so far; counted before the handler runs
    parked_at double precision not null,
    due double precision,                        -- of the first of a key; null for who waits behind it
    cause text,
    unique (handler, generation, event_id)
);
create index borough_parked_key on borough_parked (handler, generation, topic, key, number);
create index borough_parked_due on borough_parked (handler, generation, topic, due) where due is not null;

create table borough_dead (                      -- events given up, until they are replayed or dropped
    number integer primary key,                  -- the one it had among the parked
    handler text not null,
    generation integer not null,
    topic text not null,
    event_id text not null,
    type text not null,
    key text,
    sequence integer not null,
    body blob not null,
    attempts integer not null,
    parked_at double precision not null,
    died_at double precision not null,
    error text not null,                         -- the exception's type
    cause text not null,                         -- what it said
    frame text not null,                         -- where in the service's code
    fingerprint text not null                    -- of error and frame: one group of failures
);
create index borough_dead_group on borough_dead (handler, fingerprint);

create table borough_topics (                    -- the last event of each topic that has left the outbox
    topic text not null primary key,
    sequence integer not null
) without rowid;

create table borough_generations (               -- of projections; each begins with empty tables
    handler text not null primary key,
    generation integer not null,
    declared integer not null                    -- the generation that its code names
) without rowid;

alter table borough_positions add column sequence integer not null default 0;
alter table borough_positions add column noted_at double precision not null default 0;

create index borough_inbox_age on borough_inbox (handler, done_at);
create index borough_answers_age on borough_answers (created_at);
create index borough_marks_age on borough_marks (until);
"""

_AGES = """
create index borough_dead_age on borough_dead (died_at);
create index borough_attempts_age on borough_attempts (begun_at);
"""

_PROJECTIONS = """
alter table borough_positions add column target integer not null default 0;  -- the end when it began
"""

_HISTORY = """
create table borough_history (                   -- published; kept where the broker keeps no history
    sequence integer not null primary key,       -- the one it had in the outbox
    topic text not null,
    id text not null,
    type text not null,
    key text,
    body blob not null,
    kept_at double precision not null
);
create index borough_history_topic on borough_history (topic, sequence);
"""

_PLACES = """
alter table borough_positions add column places text not null default '';  -- of the partitions, where there are some
"""

_SOURCES = """
alter table borough_inbox add column by_source integer not null default 0;  -- 0: noted when an id alone was the key

alter table borough_positions add column origin text not null default '';  -- of which log they are

create table borough_former_positions (          -- where handlers were in logs that they have left
    handler text not null,
    topic text not null,
    origin text not null,
    position integer not null,
    target integer not null,
    places text not null,
    primary key (handler, topic, origin)
) without rowid;
"""

_MADE_OF = """
alter table borough_generations add column made_of text not null default '';  -- tables and events, by name; '' unknown
"""

# What the relay may read: events that no event will come to stand before any more. On SQLite that is all of them.
_SETTLED = """
create view borough_settled as select sequence, id, topic, type, key, body from borough_outbox;
"""

_SETTLED_IN_POSTGRES = f"""
create view borough_settled as select sequence, id, topic, type, key, body from borough_outbox
where sequence < (pg_snapshot_xmin(pg_current_snapshot())::text::bigint << {PLACES});
"""

_INCARNATION = """
-- Only a server gives what it has given before: see the one for PostgreSQL.
"""

_INCARNATION_IN_POSTGRES = """
create unlogged table borough_incarnation (      -- empty after every recovery from a crash
    number integer primary key,                  -- 1: there is one row
    mark text not null                           -- of who found it empty
);
"""

_SCRIPTS = {
    "0001_events.sql": _EVENTS,
    "0002_answers.sql": _ANSWERS,
    "0003_waiting.sql": _WAITING,
    "0004_ages.sql": _AGES,
    "0005_projections.sql": _PROJECTIONS,
    "0006_history.sql": _HISTORY,
    "0007_settled.sql": _SETTLED,
    "0008_places.sql": _PLACES,
    "0009_incarnation.sql": _INCARNATION,
    "0010_sources.sql": _SOURCES,
    "0011_made_of.sql": _MADE_OF,
}
_OWN: Mapping[str, str] = {
    "0007_settled.sql": _SETTLED_IN_POSTGRES,
    "0009_incarnation.sql": _INCARNATION_IN_POSTGRES,
}
_POSTGRES_WORDS = (
    # Its numbers say which transaction published an event; the store gives them.
    (r"sequence integer primary key autoincrement", "sequence bigint primary key"),
    (r"integer primary key autoincrement", "bigint generated by default as identity primary key"),
    (r"\binteger\b", "bigint"),
    (r"\bblob\b", "bytea"),
    (r"\) without rowid", ")"),
)


def borough_migrations(dialect: Dialect) -> Sequence[Migration]:
    """The migrations of the space `borough` in the words of a database."""
    scripts = _SCRIPTS if dialect == "sqlite" else {n: _in_postgres(n) for n in _SCRIPTS}
    return tuple(Migration(name, script) for name, script in scripts.items())


def _in_postgres(name: str) -> str:
    script = _OWN.get(name, _SCRIPTS[name])
    for pattern, word in _POSTGRES_WORDS:
        script = re.sub(pattern, word, script)
    return script
