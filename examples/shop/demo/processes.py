"""The demo's child processes: started apart from the terminal, listened to, ended in order."""

import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from borough.engines.process import begin_alone

PYTHON = (sys.executable, "-P")
STOP_S = 30.0
LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000  # below what the kernel gives to outgoing connections


class ChildFailed(Exception):
    """A child ended, or did not begin; the message says what it said."""


class Child:
    """A process of its own group, so that a Ctrl-C in the terminal does not reach it unasked."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = log
        self.started_s = time.monotonic()
        self._rest = b""
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*PYTHON, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(environment),
                process_group=0,
                preexec_fn=begin_alone(signal.SIGTERM),  # none outlives a killed demo
            )
        assert self.process.stdout is not None
        self._out = self.process.stdout.fileno()

    def lines(self, timeout_s: float) -> list[str]:
        """Whole lines that it has said; waits until there is something or the time is over."""
        if self._out < 0:
            time.sleep(timeout_s)
            return []
        ready, _, _ = select.select([self._out], [], [], timeout_s)
        if not ready:
            return []
        data = os.read(self._out, 65_536)
        if not data:
            self._out = -1
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    @property
    def is_silent(self) -> bool:
        """Whether it has closed its output."""
        return self._out < 0

    def check(self) -> None:
        """Raise `ChildFailed` if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise ChildFailed(f"{self.name} ended with status {status}\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote into its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-15:])

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Ask it to stop and wait; kill it when the time is over. Returns its exit status."""
        self.ask_to_stop()
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def kill(self) -> None:
        """End it now."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid


def pss_mib(pid: int) -> float:
    """A process's proportional share of memory; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return int(sizes[0]) / 1024 if sizes else 0.0


def free_port(preferred: int) -> int:
    """A port that nobody listens on: the preferred one if it can be had."""
    for port in (preferred, *random.sample(range(LOWEST_PORT, HIGHEST_PORT), 50)):
        if is_free(port):
            return port
    raise ChildFailed(f"no free port was found between {LOWEST_PORT} and {HIGHEST_PORT}")


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
