"""Kafka of our own: what brings it, what is refused, and that its data outlive a kill."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from borough.engines.kafka import KafkaServer, home
from borough.engines.kafka.__main__ import main
from borough.errors import ConfigurationError
from tests.servers.kafka import kafka

__all__ = ["kafka"]

LOCK = Path(home.__file__).with_name("jars.lock")


@pytest.fixture
def mirror() -> Iterator[str]:
    """A repository whose jars are not those of the list."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"another jar")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_jar_that_is_not_the_one_of_the_list_is_refused(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAVEN_MIRROR_URL", mirror)
    assert main([str(tmp_path)]) == 2
    assert hashlib.sha256(b"another jar").hexdigest() in capsys.readouterr().err
    assert not (tmp_path / f"kafka-{home.VERSION}" / "libs").exists()


def test_a_source_that_does_not_answer_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAVEN_MIRROR_URL", "http://127.0.0.1:9")
    assert main([str(tmp_path)]) == 2
    assert "MAVEN_MIRROR_URL names another source" in capsys.readouterr().err


def test_the_list_names_no_host_and_one_version() -> None:
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    jars = [line.split("  ")[1] for line in lines if not line.startswith("#")]
    assert f"org/apache/kafka/kafka_2.13/{home.VERSION}/kafka_2.13-{home.VERSION}.jar" in jars
    assert len(set(jars)) == len(jars)
    assert not any("://" in line for line in lines)


def test_without_its_programs_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"python -m borough\.engines\.kafka"):
        KafkaServer.start(tmp_path / "data")


def test_a_server_keeps_its_address_over_a_kill(kafka: KafkaServer, tmp_path: Path) -> None:
    server = KafkaServer.start(tmp_path / "kafka")
    try:
        address = server.address
        server.kill()
        server.restart()
        assert server.address == address
        assert server.address != kafka.address
    finally:
        server.kill()


def test_a_start_goes_on_where_one_before_was_interrupted(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    server = KafkaServer.start(tmp_path / "kafka")
    try:
        assert server.address != kafka.address
    finally:
        server.kill()
