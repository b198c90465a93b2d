"""A server program as a child of this process: started, awaited, stopped, killed by its own id.

It has a folder of its own and writes what it says into a log there. On Linux it is told to stop when this process
dies, however that comes about; elsewhere it outlives a killed parent. The kernel takes the end of the thread that
started it for that: start it from one that lives as long as the process.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from borough.clock import SystemClock
from borough.errors import ConfigurationError

__all__ = ["ServerProcess", "begin_alone", "found_program"]

_log = logging.getLogger("borough.engines")

_LOOK_S = 0.02
_PR_SET_PDEATHSIG = 1
_LAST_LINES = 15
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def found_program(name: str, folders: Sequence[Path], remedy: str) -> Path:
    """The program, looked for in these folders and then on PATH.

    Raises `ConfigurationError` with the remedy where it is not installed.
    """
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return folder / name
    found = shutil.which(name)
    if found is None:
        raise ConfigurationError(f"{name} is not installed here: {remedy}")
    return Path(found)


class ServerProcess:
    """One run of a server program.

    `user` is the account that it runs as, where this process may choose (root); `stop_signal` asks it to
    end, `stop_s` is how long that may take.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stop_s: float = 30.0,
    ) -> None:
        """Start it. Raises `ConfigurationError` where the program cannot be run."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._stop_signal = stop_signal
        self._stop_s = stop_s
        self._is_to_end = False
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    [str(each) for each in arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=dict(os.environ if environment is None else environment),
                    process_group=0,  # a Ctrl-C in the terminal reaches it through its parent
                    user=user,
                    preexec_fn=begin_alone(stop_signal),
                )
            except OSError as error:
                raise ConfigurationError(f"{name} cannot be started: {error}") from None
        self.pid = self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_until(self, is_ready: Callable[[], bool], within_s: float) -> None:
        """Wait for it to be ready; a server of others tells nobody, so it is asked again and again.

        Raises `ConfigurationError` with its last words when it ends before, or is too late; it is then killed.
        Where the waiting is interrupted, as by Ctrl-C, it is stopped: nobody has it yet to do so.
        """
        clock = SystemClock()
        ends = clock.monotonic() + within_s
        try:
            while not is_ready():
                late = clock.monotonic() > ends
                if late or not self.is_running:
                    what = f"is not ready after {within_s:.0f} s" if late else "ended at its start"
                    self.kill()
                    raise ConfigurationError(f"{self.name} {what}:\n{self.last_words()}")
                time.sleep(_LOOK_S)
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """From now on, say it when it ends without having been asked to (on Linux)."""
        if sys.platform == "linux":
            name = f"borough-watching-{self.name}"
            threading.Thread(target=self._tell_of_its_end, name=name, daemon=True).start()

    def _tell_of_its_end(self) -> None:
        with suppress(ChildProcessError):  # somebody else has seen the end
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        if not self._is_to_end:
            _log.error(
                "%s (pid %d), which this command had started, has ended by itself; what needs it fails until "
                "the command is run anew; %s may say why",
                self.name,
                self.pid,
                self.log,
            )

    def stop(self) -> None:
        """Ask it to end and wait; kill it when that takes too long. Idempotent."""
        self._is_to_end = True
        self._signal(self._stop_signal)
        try:
            self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as `kill -9` does, and wait for that. Idempotent."""
        self._is_to_end = True
        self._signal(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """Let it stand still (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def last_words(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-_LAST_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running:
            self._process.send_signal(number)


def begin_alone(number: signal.Signals) -> Callable[[], None]:
    """What a child does before it becomes the program that was asked for, as `preexec_fn`.

    It hears all signals, also those that this process ignores (a shell's background job ignores Ctrl-C), and asks
    the kernel for one at its parent's end, which may already have come.
    """
    parent = os.getpid()
    linux = sys.platform == "linux"
    # Found before the fork: nothing is loaded after it.
    prctl = ctypes.CDLL(None, use_errno=True).prctl if linux else None

    def begin() -> None:
        for each in _ENDING:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:
                os._exit(1)

    return begin
