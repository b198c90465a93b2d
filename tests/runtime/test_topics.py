"""What is counted of a topic's handlers: it is bounded, and said so that it contradicts nothing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.runtime.adapters import make_store
from borough.runtime.configuration import Configuration
from borough.runtime.positions import noted_in
from borough.runtime.topics import KEYS, of_taken, opened_store
from borough.stores.schema import borough_migrations


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


async def test_a_database_that_was_not_started_since_an_upgrade_is_told_as_that(
    tmp_path: Path,
) -> None:
    clock, configuration = SystemClock(), Configuration.load(tmp_path, {})
    store = make_store(configuration, configuration.data_folder, "mail", clock)
    configuration.data_folder.mkdir()
    await store.open()
    await store.migrate("borough", borough_migrations("sqlite")[:8])
    await store.close()

    async def look() -> None:
        async with opened_store(configuration, "mail", clock) as found:
            assert found is not None
            await noted_in(found, "mail.hear", "orders.Orders", "embedded")

    with pytest.raises(ConfigurationError, match="as an earlier version of Borough has left it"):
        await look()
