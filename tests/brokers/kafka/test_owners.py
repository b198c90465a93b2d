"""Where a user may not leave a mark in the cluster, events go on without it, and that is said."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from borough.brokers.kafka.owners import Owners
from borough.brokers.kafka.publishing import Publishing
from borough.brokers.kafka.terms import KafkaTerms
from borough.clock import SystemClock
from borough.errors import BrokerError

TERMS = KafkaTerms(("kafka.example:9092",))


class Refusing:
    """A cluster that says no for one reason, or has no such topic."""

    def __init__(self, code: int | None = None) -> None:
        self._code = code

    async def ensure(self, topic: str) -> tuple[int, ...]:
        if self._code is not None:
            raise BrokerError(f"{topic} cannot be made") from KafkaException(KafkaError(self._code))
        return ()


def owners(cluster: Any) -> Owners:
    return Owners(TERMS, cluster, Publishing(TERMS), ThreadPoolExecutor(1), SystemClock())


async def test_who_has_no_rights_to_the_topic_of_owners_is_warned_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await owners(Refusing(KafkaError.TOPIC_AUTHORIZATION_FAILED)).claim("orders")
    assert "whether another system has a service orders" in caplog.text


async def test_where_topics_are_made_by_somebody_else_and_this_one_is_not_nothing_is_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await owners(Refusing()).claim("orders")
    assert caplog.text == ""


async def test_a_cluster_that_is_away_is_no_refusal() -> None:
    with pytest.raises(BrokerError, match="cannot be made"):
        await owners(Refusing(KafkaError._TRANSPORT)).claim("orders")
