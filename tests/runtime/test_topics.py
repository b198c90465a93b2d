"""What is counted of a topic's handlers: it is bounded, and said so that it contradicts nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from borough.runtime.topics import KEYS, of_taken


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


@pytest.mark.parametrize(
    ("part", "heard", "said"),
    [
        (2, 260, "of 260 that it has taken"),
        (3, 3, "of 3 that it has taken"),
        (12, 10_001, "of more than 10,000 that it has taken"),
        (12, 3, "some of them longer ago than the 3 that it has taken lately"),
        (12_000, 10_001, ""),
        (12, 0, ""),
    ],
)
def test_a_whole_is_never_less_than_its_part(part: int, heard: int, said: str) -> None:
    assert of_taken(part, heard) == said
