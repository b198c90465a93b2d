"""What is counted of a topic's handlers is bounded: it is asked at each look, and most when there is trouble."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from borough.runtime.topics import KEYS


@pytest.fixture
def parked() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table borough_parked (handler text, topic text, key text)")
        yield database


@pytest.mark.parametrize(("events", "keys", "counted"), [(30, 3, 3), (10_500, 10_500, 10_000)])
def test_keys_of_parked_events_are_counted_among_so_many_events_only(
    parked: sqlite3.Connection, events: int, keys: int, counted: int
) -> None:
    rows = [("mail.hear", "orders.Placed", str(number % keys)) for number in range(events)]
    rows += [("mail.hear", "orders.Paid", "other"), ("mail.other", "orders.Placed", "other")]
    parked.executemany("insert into borough_parked values (?, ?, ?)", rows)
    asked = {"1": "mail.hear", "2": "orders.Placed"}
    assert parked.execute(KEYS, asked).fetchone() == (counted,)
