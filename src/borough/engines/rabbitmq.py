"""One RabbitMQ node of our own: RabbitMQ 3.10 or later as the system has it, with everything it writes in one folder.

It has an Erlang port mapper of its own, so that it meets no other node of the machine, and all its
ports are loopback ones. A user with a password of its own stands in a file for its owner only. One
node cannot show what a cluster gives: there is no replica that survives it.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from borough.clock import Clock, SystemClock
from borough.engines.ports import free_port
from borough.engines.process import ServerProcess, found_program
from borough.errors import ConfigurationError

__all__ = ["RabbitmqServer"]

_FOLDERS: Final = (
    Path("/usr/lib/rabbitmq/bin"),  # not the wrappers on PATH: they change the user and the folder
    Path("/opt/homebrew/opt/rabbitmq/sbin"),
    Path("/usr/local/opt/rabbitmq/sbin"),
)
_REMEDY: Final = (
    "`apt-get install rabbitmq-server` brings it, or name a server in [events.rabbitmq] url"
)
_READY_WITHIN_S: Final = 90.0
_STOP_S: Final = 30.0
_HELLO: Final = b"AMQP\x00\x00\x09\x01"
_METHOD_FRAME: Final = b"\x01"
_ANSWER_S: Final = 2.0
_PASSWORD_BYTES: Final = 18
_CONFIGURATION: Final = """\
listeners.tcp.default = 127.0.0.1:{port}
default_user = borough
default_pass = {password}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 64000000
"""
# No busy waiting: a laptop's other programs need the processor, too.
_ERLANG: Final = (
    "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
)


class RabbitmqServer:
    """A node that runs; see `start`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._program = found_program("rabbitmq-server", _FOLDERS, _REMEDY)
        self._mapper_program = found_program("epmd", (), _REMEDY)
        self.port = free_port()
        """Where it speaks AMQP."""
        self._own_port, self._mapper_port = free_port(), free_port()
        self._mapper: ServerProcess | None = None
        self._node: ServerProcess | None = None
        secret = folder / "url"
        password = _kept_password(secret, clock)
        self.url = f"amqp://borough:{password}@127.0.0.1:{self.port}/"
        """Where clients find it, with its password."""
        _write_own(secret, self.url)
        self._write_configuration(password)
        self._begin()

    @classmethod
    def start(cls, folder: Path) -> RabbitmqServer:
        """Start a node whose data lie in `folder` and await it: some seconds.

        Raises `ConfigurationError` with the remedy where RabbitMQ is not installed or does not start.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder.resolve(), SystemClock())

    @property
    def address(self) -> str:
        """What `events.rabbitmq.url` takes: a reference to the file with the URL."""
        return f"file:{self._folder / 'url'}"

    @property
    def pid(self) -> int:
        """The process of the node."""
        assert self._node is not None
        return self._node.pid

    def watch(self) -> None:
        """From now on, say it when it ends without having been asked to."""
        for process in (self._node, self._mapper):
            if process is not None:
                process.watch()

    def stop(self) -> None:
        """End it in order; its data stay. Idempotent."""
        for process in (self._node, self._mapper):
            if process is not None:
                process.stop()

    def kill(self) -> None:
        """End it at once, as `kill -9` does; its data stay. Idempotent."""
        for process in (self._node, self._mapper):
            if process is not None:
                process.kill()

    def restart(self) -> None:
        """Start it again with the same data and port, after `stop` or `kill`, and await it."""
        self._begin()

    def pause(self) -> None:
        """Let it stand still."""
        assert self._node is not None
        self._node.pause()

    def go_on(self) -> None:
        """Let it run again."""
        assert self._node is not None
        self._node.go_on()

    def settle(self) -> None:
        """Have it write down which queues it has, as it does by itself every three minutes.

        A single node that is killed before has queues that find no leader any more, until they are deleted.
        """
        self.control("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def control(self, *arguments: str) -> None:
        """Run `rabbitmqctl` against it. Raises `ConfigurationError` with what it says when it fails."""
        program = self._program.with_name("rabbitmqctl")
        ran = subprocess.run(
            [program, "--quiet", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise ConfigurationError(f"rabbitmqctl {arguments[0]}: {ran.stderr or ran.stdout}")

    def _write_configuration(self, password: str) -> None:
        text = _CONFIGURATION.format(port=self.port, password=password)
        _write_own(self._folder / "rabbitmq.conf", text)
        (self._folder / "enabled_plugins").write_text("[].\n", encoding="utf-8")

    def _begin(self) -> None:
        environment = self._environment()
        arguments: list[str | Path] = [self._mapper_program, "-port", str(self._mapper_port)]
        self._mapper = ServerProcess("epmd", arguments, self._folder, environment=environment)
        try:
            self._mapper.wait_until(lambda: _accepts(self._mapper_port), _ANSWER_S * 5)
            self._node = ServerProcess(
                "rabbitmq",
                [self._program],
                self._folder,
                environment=environment,
                stop_s=_STOP_S,
            )
            self._node.wait_until(lambda: _greets(self.port), _READY_WITHIN_S)
        except BaseException:
            self.kill()
            raise

    def _environment(self) -> Mapping[str, str]:
        folder = self._folder
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RABBITMQ_", "ERL_"))
        }
        return {
            **kept,
            "HOME": str(folder),  # where Erlang keeps the cookie
            "RABBITMQ_BASE": str(folder),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_NODENAME": "borough@localhost",  # the data of a node stand under its name
            "RABBITMQ_DIST_PORT": str(self._own_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node, so that its pid is the node's
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
        }


def _kept_password(url: Path, clock: Clock) -> str:
    """The one of an earlier start on this folder: the node keeps its users."""
    if url.exists():
        return url.read_text(encoding="utf-8").split("@")[0].rpartition(":")[2]
    return clock.token(_PASSWORD_BYTES).hex()


def _write_own(path: Path, text: str) -> None:
    """Write a file for its owner only."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _ANSWER_S).close()
    except OSError:
        return False
    return True


def _greets(port: int) -> bool:
    """Whether it answers the AMQP header with its first frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as connection:
            connection.sendall(_HELLO)
            return connection.recv(1) == _METHOD_FRAME
    except OSError:
        return False
