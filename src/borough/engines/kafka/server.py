"""One Apache Kafka broker of our own, that is its own controller (KRaft), with all it writes in one folder.

Its ports are loopback ones and stay the same over `restart`. After a kill the controller still believes in
the broker for `broker.session.timeout.ms`, short here, before it lets it in again. One broker cannot show
what a cluster gives: there is no replica, and it acknowledges what is not on the disk yet.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import Final
from uuid import UUID

from borough.clock import Clock, SystemClock
from borough.engines.kafka.home import FORMATTED, found_home, java_command
from borough.engines.ports import free_port
from borough.engines.process import ServerProcess
from borough.errors import ConfigurationError

__all__ = ["KafkaServer"]

_READY_WITHIN_S: Final = 90.0
_STOP_S: Final = 30.0
_ANSWER_S: Final = 2.0
_FORMAT_S: Final = 60.0
_MARK: Final = "meta.properties"
_MAIN: Final = "kafka.Kafka"
_FORMAT: Final = "kafka.tools.StorageTool"
_API_VERSIONS: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)
"""A whole request: its length, ApiVersions, version 0, a number to answer to, no client's name."""
_CONFIGURATION: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
num.network.threads=2
num.io.threads=4
log.retention.check.interval.ms=60000
log.cleaner.backoff.ms=5000
log.cleaner.dedupe.buffer.size=33554432
"""


class KafkaServer:
    """A broker that runs; see `start`. `record` archives the classes that it loads, when it stops."""

    def __init__(self, folder: Path, clock: Clock, *, record: Path | None = None) -> None:
        self._folder = folder
        self._home = found_home(os.environ)
        self._command = java_command(self._home, _MAIN, record=record)
        self.port = free_port()
        """Where clients reach it."""
        self._settings = folder / "server.properties"
        data = folder / "data"
        self._settings.write_text(
            _CONFIGURATION.format(port=self.port, controller_port=free_port(), data=data),
            encoding="utf-8",
        )
        if not (data / _MARK).exists():
            self._format(data, clock)
        self._process = self._begin()

    @classmethod
    def start(cls, folder: Path) -> KafkaServer:
        """Start a broker whose data lie in `folder` and await it: some seconds.

        Raises `ConfigurationError` with the remedy where Kafka or Java is missing, or it does not start.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder.resolve(), SystemClock())

    @property
    def address(self) -> str:
        """What `events.kafka.servers` takes: `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of the broker."""
        return self._process.pid

    def watch(self) -> None:
        """From now on, say it when it ends without having been asked to."""
        self._process.watch()

    def stop(self) -> None:
        """End it in order; its data stay. Idempotent."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once, as `kill -9` does; its data stay. Idempotent."""
        self._process.kill()

    def restart(self) -> None:
        """Start it again with the same data and ports, after `stop` or `kill`, and await it."""
        self._process = self._begin()

    def pause(self) -> None:
        """Let it stand still."""
        self._process.pause()

    def go_on(self) -> None:
        """Let it run again."""
        self._process.go_on()

    def _begin(self) -> ServerProcess:
        process = ServerProcess(
            "kafka", [*self._command, self._settings], self._folder, stop_s=_STOP_S
        )
        process.wait_until(lambda: _answers(self.port), _READY_WITHIN_S)
        return process

    def _format(self, data: Path, clock: Clock) -> None:
        """Make an empty data folder; one that was made with the programs is copied, a second saved."""
        formatted = self._home / FORMATTED
        name = _cluster_name(clock.new_id())
        command = java_command(self._home, _FORMAT)
        command += ["format", "--cluster-id", name, "--config", str(self._settings)]
        try:
            if formatted.is_dir():
                _copy(formatted, data)
                return
            subprocess.run(command, check=True, capture_output=True, timeout=_FORMAT_S, text=True)
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", None) or error)
            raise ConfigurationError(f"Kafka cannot format {data}:\n{said[-1000:]}") from None


def _copy(formatted: Path, data: Path) -> None:
    """What tells that it is whole comes last: an interrupted start is gone on with by the next one."""
    shutil.copytree(formatted, data, ignore=shutil.ignore_patterns(_MARK), dirs_exist_ok=True)
    draft = data / f"{_MARK}.new"
    shutil.copy2(formatted / _MARK, draft)
    draft.replace(data / _MARK)


def _cluster_name(number: UUID) -> str:
    """As Kafka writes its UUIDs."""
    return base64.urlsafe_b64encode(number.bytes).decode().rstrip("=")


def _answers(port: int) -> bool:
    """Whether it says which requests it takes: it does so when it takes them."""
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as connection:
            connection.sendall(_API_VERSIONS)
            return len(connection.recv(4)) == 4
    except OSError:
        return False
