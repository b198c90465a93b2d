"""How Kafka is chosen in borough.toml, and what is refused before anything starts."""

from pathlib import Path

import pytest

from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.runtime.adapters import make_broker
from borough.runtime.configuration import Configuration

CHOSEN = """
[events]
broker = "kafka"
[events.kafka]
servers = ["localhost:9092"]
"""


def configured(folder: Path, more: str = "", **environment: str) -> Configuration:
    (folder / "borough.toml").write_text(CHOSEN + more)
    return Configuration.load(folder, environment, {})


def test_borough_toml_chooses_kafka(tmp_path: Path) -> None:
    more = 'settings = { "sasl.password" = "env:PASSWORD" }'
    configuration = configured(tmp_path, more, PASSWORD="seventy-seven")
    assert isinstance(make_broker(configuration, tmp_path, SystemClock()), KafkaBroker)


def test_a_password_in_clear_is_refused(tmp_path: Path) -> None:
    configuration = configured(tmp_path, 'settings = { "sasl.password" = "seventy-seven" }')
    with pytest.raises(ConfigurationError, match=r"sasl\.password is a secret in clear"):
        make_broker(configuration, tmp_path, SystemClock())


async def test_a_setting_that_librdkafka_does_not_know_is_told_at_the_start() -> None:
    broker = KafkaBroker(KafkaTerms(("localhost:9",), settings={"no.such": "1"}), SystemClock())
    with pytest.raises(ConfigurationError, match=r'"no\.such"'):
        await broker.open()


def test_no_setting_of_the_user_takes_a_promise_back() -> None:
    terms = KafkaTerms(("localhost:9",), settings={"acks": "0", "enable.auto.commit": "true"})
    assert terms.producer()["acks"] == "all"
    assert terms.producer()["enable.idempotence"] is True
    assert terms.consumer("g")["enable.auto.commit"] is False
