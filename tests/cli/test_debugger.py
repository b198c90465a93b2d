"""`breakpoint()` in a handler of `borough run`: whoever waits at it has the terminal, also with `--reload`."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from borough.testing import free_port
from tests.cli.systems import write_system
from tests.cli.terminal import HOLD_CONTRACT, HOLD_SERVICE, PATIENCE_S


class Terminal:
    """A command that has a terminal, as a shell would start it."""

    def __init__(self, pid: int, keys: int) -> None:
        self.pid = pid
        self._keys = keys
        self._heard = ""

    def press(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    def until(self, words: str) -> str:
        """What is shown up to these words, from where the last look ended."""
        end = time.monotonic() + PATIENCE_S
        while words not in self._heard:
            ready, _, _ = select.select([self._keys], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{words!r} was never shown, but: {self._heard}"
            self._heard += os.read(self._keys, 65536).decode()
        shown, _, self._heard = self._heard.partition(words)
        return shown

    def has_stopped(self) -> bool:
        """Wait until it stops or ends; returns whether it has stopped."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        return os.WIFSTOPPED(status)

    def ended(self) -> int:
        """Wait for its exit status; what it still shows is read, or it could not end."""
        while True:
            ready, _, _ = select.select([self._keys], [], [], 0.05)
            if ready:
                with suppress(OSError):  # Linux: nobody has the other end any more
                    self._heard += os.read(self._keys, 65536).decode()
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    pid, keys = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "borough", *words])
    made = Terminal(pid, keys)
    try:
        yield made
    finally:
        if made.pid:
            os.kill(made.pid, signal.SIGKILL)
            os.waitpid(made.pid, 0)
        os.close(keys)  # hangs up on whoever is left


@pytest.mark.parametrize("words", [[], ["--reload"]], ids=["run", "reload"])
def test_a_breakpoint_in_a_handler_has_the_terminal_and_ctrl_c_still_ends_all(
    tmp_path: Path, words: list[str]
) -> None:
    service = HOLD_SERVICE.replace("{package}", "memo")
    stopping = service.replace("        note =", "        breakpoint()\n        note =")
    files = {"notes/contract.py": HOLD_CONTRACT, "notes/service.py": stopping}
    root = write_system(tmp_path, "memo", files=files)
    port = free_port()
    answers: list[int] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/notes/notes/3", timeout=PATIENCE_S)
        except urllib.error.HTTPError as error:
            answers.append(error.code)

    with terminal("run", str(root), "--port", str(port), *words) as shown:
        shown.until("Ctrl-C stops.")
        asking = threading.Thread(target=ask)
        asking.start()
        shown.until("(Pdb)")
        shown.press("p id * 14\n")
        assert "42" in shown.until("(Pdb)")
        if words:
            shown.press("\x1a")  # Ctrl-Z, and the shell's `fg`
            assert shown.has_stopped()
            os.kill(shown.pid, signal.SIGCONT)
            shown.press("p id * 15\n")
            assert "45" in shown.until("(Pdb)")
        shown.press("q\n")
        assert "the event loop has stood still" not in shown.until("BdbQuit\r\n")
        asking.join()
        assert answers == [500]
        shown.press("\x03")
        assert shown.ended() == 0
