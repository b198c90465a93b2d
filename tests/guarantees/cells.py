"""Which test proves which guarantee on which adapter: the record that docs/reference/guarantees.md is made of.

The suites say most of it. What only an adapter's own tests can prove, such as a power cut, is named here.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from borough.testing.conformance import GUARANTEES, Guarantee
from borough.testing.conformance.guarantees import SUITES, Part
from tests.guarantees.chosen import pairs

__all__ = ["ADAPTERS", "OWN", "Adapter", "Cell", "OwnProof", "cells_of", "found"]

ROOT = Path(__file__).parents[2]
PROMISES = "tests/guarantees/test_promises.py::TestPromises"


class Adapter(NamedTuple):
    """A store or a broker, with the class that runs its port's suite."""

    name: str
    port: Part
    title: str
    suite: str
    has_server: bool = False
    not_shown: tuple[str, ...] = ()
    """What its tests on one machine cannot show."""


ONE_NODE = (
    "Replication. One node on one machine has nobody who has an event when it is gone: what a cluster gives is the "
    "{broker}'s own promise, asked for by the settings on [its page]({page})."
)
ADAPTERS = (
    Adapter(
        "sqlite",
        "store",
        "SQLite",
        "tests/stores/test_conformance.py::TestSqliteStore",
        not_shown=(
            "A disk that says that it has written what it has not. Power cuts are made from a recording of all writes "
            "and syncs.",
        ),
    ),
    Adapter(
        "postgres",
        "store",
        "PostgreSQL",
        "tests/stores/test_postgres_conformance.py::TestPostgresStore",
        has_server=True,
        not_shown=(
            "Replication, and power cuts. There is one server, without a standby; that a commit is on its disk is "
            "PostgreSQL's own promise (`fsync`, `synchronous_commit`).",
        ),
    ),
    Adapter(
        "embedded",
        "broker",
        "The embedded broker",
        "tests/brokers/test_conformance.py::TestEmbeddedBroker",
        not_shown=(
            "A second machine. The log lies on one disk and has no replica; where that is not enough, take RabbitMQ "
            "or Kafka.",
        ),
    ),
    Adapter(
        "rabbitmq",
        "broker",
        "RabbitMQ",
        "tests/brokers/test_rabbitmq.py::TestRabbitmqBroker",
        has_server=True,
        not_shown=(
            ONE_NODE.format(broker="broker", page="rabbitmq.md"),
            "A broker that is killed while its queues are new. RabbitMQ 3.10 writes down only after some seconds "
            "which quorum queues it has: one that is younger may not answer after `kill -9` of the only node, until "
            "it is deleted. The test waits six seconds.",
        ),
    ),
    Adapter(
        "kafka",
        "broker",
        "Kafka",
        "tests/brokers/kafka/test_kafka_conformance.py::TestKafkaBroker",
        has_server=True,
        not_shown=(ONE_NODE.format(broker="cluster", page="kafka.md"),),
    ),
)


class OwnProof(NamedTuple):
    """A guarantee that is proved by tests of the adapter's own."""

    adapter: str
    id: str
    sentence: str
    tests: tuple[str, ...]


RESTARTS = (
    "After a restart of the broker nothing that it acknowledged is missing, and work goes on soon."
)
POWER_CUT = "What was acknowledged is there, and whole, after the power was cut at any moment."
AMBIGUOUS = (
    "A commit whose outcome was told wrong, or not at all, doubles nothing and loses nothing."
)
OWN = (
    OwnProof(
        "sqlite",
        "power-cut",
        POWER_CUT,
        (
            "tests/stores/test_power_cut.py::"
            "test_what_was_acknowledged_survives_a_power_cut_at_any_moment",
        ),
    ),
    OwnProof(
        "sqlite",
        "ambiguous-commit",
        AMBIGUOUS,
        (
            "tests/runtime/test_ambiguous_commits.py::"
            "test_each_commit_may_be_applied_and_reported_failed",
            "tests/runtime/test_ambiguous_commits.py::"
            "test_commits_that_were_reported_done_and_lost_double_nothing",
        ),
    ),
    OwnProof(
        "postgres",
        "ambiguous-commit",
        "A COMMIT whose answer never came is asked for; where nothing tells what became of it, it is told as unknown.",
        (
            "tests/stores/test_postgres_server.py::test_an_answer_of_commit_that_never_came_is_asked_for",
            "tests/stores/test_postgres_server.py::"
            "test_where_nothing_tells_what_became_of_a_commit_it_is_told_as_unknown",
        ),
    ),
    OwnProof(
        "postgres",
        "server-restarts",
        "After a restart of the server work goes on, and a body that lost its connection has done nothing.",
        (
            "tests/stores/test_postgres_server.py::test_a_store_goes_on_after_a_restart_of_its_server",
            "tests/stores/test_postgres_server.py::test_a_body_that_loses_its_server_has_done_nothing",
        ),
    ),
    OwnProof(
        "postgres",
        "migrations-at-once",
        "Of many processes that start at once, one applies a migration.",
        ("tests/stores/test_postgres.py::test_of_many_processes_one_applies_a_migration",),
    ),
    OwnProof(
        "sqlite",
        "migrations-at-once",
        "Of many processes that start at once, one applies a migration.",
        ("tests/stores/test_processes.py::test_two_processes_that_migrate_at_once_apply_once",),
    ),
    OwnProof(
        "embedded",
        "power-cut",
        POWER_CUT,
        (
            "tests/brokers/test_power_cut.py::"
            "test_what_was_acknowledged_is_in_the_log_after_a_power_cut",
        ),
    ),
    OwnProof(
        "embedded",
        "killed-while-writing",
        "A process that is killed before any of its writes leaves nothing acknowledged behind.",
        ("tests/brokers/test_killed.py::test_killed_before_each_act_nothing_acknowledged_is_lost",),
    ),
    OwnProof(
        "rabbitmq",
        "broker-restarts",
        RESTARTS,
        (
            "tests/brokers/test_rabbitmq.py::"
            "test_publishing_and_reading_go_on_within_ten_seconds_of_a_restart",
        ),
    ),
    OwnProof(
        "rabbitmq",
        "full-queue",
        "A queue that is full is told to its publisher, who keeps the events: none is dropped.",
        ("tests/brokers/test_rabbitmq.py::test_a_full_queue_is_told_and_loses_nothing",),
    ),
    OwnProof(
        "rabbitmq",
        "delivery-limit",
        "What RabbitMQ gives up at its delivery limit comes to the handler all the same.",
        (
            "tests/brokers/test_rabbitmq.py::"
            "test_what_reaches_the_delivery_limit_comes_by_the_side_queue",
        ),
    ),
    OwnProof(
        "kafka",
        "broker-restarts",
        RESTARTS,
        (
            "tests/brokers/kafka/test_kafka.py::"
            "test_after_kill_9_nothing_acknowledged_is_missing_and_publishing_goes_on",
        ),
    ),
    OwnProof(
        "kafka",
        "settings-stand",
        "No setting of the user's takes a promise back: `acks`, idempotence and commits stay as they are.",
        ("tests/brokers/kafka/test_settings.py::test_no_setting_of_the_user_takes_a_promise_back",),
    ),
)


class Cell(NamedTuple):
    """A guarantee on an adapter. `tests` are their ids for pytest, `texts` the files where they are written."""

    id: str
    sentence: str
    tests: tuple[str, ...]
    texts: tuple[str, ...]


def cells_of(adapter: Adapter, *, matrix: bool = False) -> Iterator[Cell]:
    """What is guaranteed on an adapter: by its port, by the whole, and by its own tests."""
    for guarantee in GUARANTEES:
        if guarantee.concerns(adapter.port, has_server=adapter.has_server):
            tests = tuple(_tests(adapter, guarantee, matrix))
            written = tuple(_file_of(guarantee, name) for name in guarantee.tests)
            yield Cell(guarantee.id, guarantee.sentence, tests, written)
    for own in OWN:
        if own.adapter == adapter.name:
            files = tuple(test.partition("::")[0] for test in own.tests)
            yield Cell(own.id, own.sentence, own.tests, files)


def _tests(adapter: Adapter, guarantee: Guarantee, matrix: bool) -> Iterator[str]:
    for name in guarantee.tests:
        if guarantee.suite == "whole":
            for pair in pairs(all_of_them=matrix):
                if adapter.name in pair:
                    yield f"{PROMISES}::{name}[{pair}]"
        else:
            yield f"{adapter.suite}::{name}"


def _file_of(guarantee: Guarantee, name: str) -> str:
    """Where a test of a suite is written."""
    source = inspect.getsourcefile(getattr(SUITES[guarantee.suite], name))
    assert source is not None
    return Path(source).relative_to(ROOT).as_posix()


def found(test: str) -> Any:
    """The function of a test id. Raises `AttributeError` or `ImportError` where there is none."""
    path, *names = test.partition("[")[0].split("::")
    thing: Any = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for name in names:
        thing = getattr(thing, name)
    return thing
