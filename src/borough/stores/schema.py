"""Borough's own tables in every service's database: the migrations of the space `borough`.

They stand beside the service's tables so that an event's row, its effects and the epoch that allows
them commit together. Applied migrations are never edited; a change is a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from borough.ports import Migration

__all__ = ["BOROUGH_MIGRATIONS", "INSERT_OUTBOX"]

INSERT_OUTBOX: Final = (
    "insert into borough_outbox (id, topic, type, key, body) values ($1, $2, $3, $4, $5)"
)
"""How every store puts what a transaction has published beside its rows."""

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

BOROUGH_MIGRATIONS: Final[Sequence[Migration]] = (
    Migration("0001_events.sql", _EVENTS),
    Migration("0002_answers.sql", _ANSWERS),
)
