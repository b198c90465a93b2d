"""Whoever waits for a cluster in vain is told what the client knows of it."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from borough.brokers.kafka import KafkaTerms
from borough.brokers.kafka.publishing import Publishing
from borough.brokers.kafka.reason import Reason
from borough.brokers.kafka.topics import Topics
from borough.clock import SystemClock

TERMS = KafkaTerms(("kafka:9093",))
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")
TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, "Local: Timed out")
WRONG_PASSWORD = KafkaError(
    KafkaError._AUTHENTICATION,
    "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Invalid username or password "
    "(after 309ms in state AUTH_REQ, 3 identical error(s) suppressed)",
)
SAID = "sasl_ssl://kafka:9093: SASL authentication error: Invalid username or password"


class Producer:
    """Is never there."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.hear = settings["error_cb"]

    def poll(self, _seconds: float) -> None: ...

    def purge(self) -> None: ...

    def flush(self, _seconds: float) -> None: ...


async def test_that_nobody_answers_is_said_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publishing = Publishing(TERMS, Producer)
    producer: Any = publishing.open()
    producer.hear(WRONG_PASSWORD)
    producer.hear(DOWN)
    await publishing.close()
    (record,) = caplog.records
    assert record.message == (
        f"Kafka does not answer at kafka:9093 ({SAID}); events wait in their outboxes"
    )


def test_what_only_fails_in_time_is_said_with_the_reason() -> None:
    reason = Reason()
    topics = Topics(TERMS, SystemClock(), reason)
    reason.hear(WRONG_PASSWORD)
    error = topics._failed("t cannot be looked at", KafkaException(TIMED_OUT))
    assert str(error) == f"Kafka at kafka:9093: t cannot be looked at: Local: Timed out ({SAID})"
    refused = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed")
    error = topics._failed("t cannot be looked at", KafkaException(refused))
    assert str(error).endswith("t cannot be looked at: Topic authorization failed")


def test_a_listener_that_only_hangs_up_may_speak_another_protocol() -> None:
    reason = Reason()
    reason.hear(DOWN)
    assert "security.protocol in events.kafka.settings" in reason.told


def test_a_reason_of_before_explains_nothing_once_the_cluster_has_answered() -> None:
    reason = Reason()
    reason.hear(WRONG_PASSWORD)
    reason.reached()
    assert reason.told == ""
    reason.hear(DOWN)
    assert reason.behind(TIMED_OUT) == "Local: Timed out"
