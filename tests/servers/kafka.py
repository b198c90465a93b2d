"""A real Kafka broker for tests: one for all that a worker process runs, and a prefix of its own for each test."""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.clock import SystemClock
from borough.engines.kafka import KafkaServer
from borough.errors import ConfigurationError
from tests.requirements import require_tool

_numbers = count(1)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """The broker of this process; `make kafka` brings its programs."""
    folder = Path(tempfile.mkdtemp(prefix="borough-kafka-"))
    try:
        server = KafkaServer.start(folder)
    except ConfigurationError as error:
        missing = "was not found" in str(error) or "is not installed" in str(error)
        require_tool("Apache Kafka", not missing)
        raise
    try:
        yield server
    finally:
        server.kill()  # nobody needs what it holds
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def terms(kafka: KafkaServer) -> KafkaTerms:
    """Where it is, with a prefix that no other test has."""
    return KafkaTerms((kafka.address,), prefix=f"t{next(_numbers)}-")


def kafka_broker(server: KafkaServer, prefix: str, partitions: int) -> KafkaBroker:
    """A broker on that server, not open yet."""
    return KafkaBroker(
        KafkaTerms((server.address,), prefix=prefix, partitions=partitions), SystemClock()
    )
