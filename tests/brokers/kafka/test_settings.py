"""How Kafka is chosen in borough.toml, and what is refused before anything starts."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.runtime.adapters import make_broker
from borough.runtime.configuration import Configuration
from tests.docs.pages import DOCS

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


@pytest.mark.parametrize(
    "server", ["localhost:notaport", "localhost:", "localhost:0", "localhost:99999", "a:1,b:2", ""]
)
def test_a_server_that_is_no_host_and_port_is_refused(tmp_path: Path, server: str) -> None:
    (tmp_path / "borough.toml").write_text(CHOSEN.replace("localhost:9092", server))
    configuration = Configuration.load(tmp_path, {}, {})
    with pytest.raises(ConfigurationError, match=r"events\.kafka\.servers: '.*' is no HOST:PORT"):
        make_broker(configuration, tmp_path, SystemClock())


@pytest.mark.parametrize("server", ["kafka", "kafka:9092", "[::1]:9092", "SASL_SSL://kafka:9093"])
def test_servers_are_written_as_librdkafka_takes_them(tmp_path: Path, server: str) -> None:
    (tmp_path / "borough.toml").write_text(CHOSEN.replace("localhost:9092", server))
    configuration = Configuration.load(tmp_path, {}, {})
    assert isinstance(make_broker(configuration, tmp_path, SystemClock()), KafkaBroker)


def test_another_address_among_the_settings_is_refused(tmp_path: Path) -> None:
    configuration = configured(tmp_path, 'settings = { "bootstrap.servers" = "elsewhere:9092" }')
    with pytest.raises(ConfigurationError, match=r"say in events\.kafka\.servers where Kafka is"):
        make_broker(configuration, tmp_path, SystemClock())


def test_a_private_key_in_clear_is_refused(tmp_path: Path) -> None:
    configuration = configured(tmp_path, 'settings = { "ssl.key.pem" = "-----BEGIN" }')
    with pytest.raises(ConfigurationError, match=r"ssl\.key\.pem is a secret in clear"):
        make_broker(configuration, tmp_path, SystemClock())


def certify(folder: Path, password: bytes) -> None:
    """A certificate that is its own authority, and its key, encrypted."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    for file in ("ca.pem", "shop.pem"):
        (folder / file).write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    how = BestAvailableEncryption(password)
    (folder / "shop.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))


async def test_the_certificate_of_the_page_and_its_encrypted_key_are_taken(tmp_path: Path) -> None:
    page = (DOCS / "reference" / "kafka.md").read_text(encoding="utf-8")
    found = re.search(r"^\[events\.kafka\.settings\]\n.*?(?=^```)", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    certify(tmp_path, b"sesame")
    more = found[0].replace("/etc/shop", str(tmp_path))
    configuration = configured(tmp_path, more, KAFKA_KEY_PASSWORD="sesame")
    broker = make_broker(configuration, tmp_path, SystemClock())
    await broker.open()
    await broker.close()
    configuration = configured(tmp_path, more, KAFKA_KEY_PASSWORD="wrong")
    with pytest.raises(ConfigurationError, match=r"ssl\.key\.location failed"):
        await make_broker(configuration, tmp_path, SystemClock()).open()


def test_no_setting_of_the_user_takes_a_promise_back() -> None:
    terms = KafkaTerms(("localhost:9",), settings={"acks": "0", "enable.auto.commit": "true"})
    assert terms.producer()["acks"] == "all"
    assert terms.producer()["enable.idempotence"] is True
    assert terms.consumer("g")["enable.auto.commit"] is False
