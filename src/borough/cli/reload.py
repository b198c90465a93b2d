"""`borough run --reload`: the same command in a child process, begun anew when a file changes.

The child has a process group of its own, so that Ctrl-C reaches it once, through here, and it drains. Who reads
the terminal in it (`breakpoint()`) is given that: from then on Ctrl-C is the child's, and its end by that is ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from borough.cli.signals import hangs_up
from borough.errors import ConfigurationError
from borough.runtime.configuration import CONFIGURATION_FILE
from borough.runtime.distributions import place_in
from borough.runtime.toml_file import read_toml

__all__ = ["run_and_reload"]

_WATCHED = (".py", ".sql", ".toml", ".html", ".css", ".js")
_LOOK_S = 0.4
_PATIENCE_S = 25.0
_BY_CTRL_C = (0, 130, -signal.SIGINT)


def run_and_reload(path: Path) -> int:
    """Run until Ctrl-C; returns the exit status of the last child. Raises `ConfigurationError`."""
    if not path.is_dir():
        raise ConfigurationError(f"{path} is no folder, so there is nothing to watch")
    # As this process was started: another way in may have another sys.path.
    command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--reload")]
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up() else [])):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    folders = _watched(path)
    seen = _marks(folders)
    child, terminal = _begin(command), _Terminal()
    waits = False
    while not stopped:
        time.sleep(_LOOK_S)
        terminal.look(child)
        now = _marks(folders)
        if now != seen:
            changed = sorted(set(now.items()) ^ set(seen.items()))
            print(f"{changed[0][0]} has changed; starting anew", file=sys.stderr)
            folders = _watched(path)
            seen, waits = _marks(folders), False
            _end(child, stopped)
            terminal.take_back()
            if not stopped:
                child = _begin(command)
        elif child.poll() is not None and not waits:
            if terminal.take_back() and child.returncode in _BY_CTRL_C:
                break
            waits = True
            print(f"it ended with status {child.returncode}; waiting for a change", file=sys.stderr)
    _end(child, stopped)
    terminal.take_back()
    return max(child.returncode, 0)


class _Terminal:
    """Who may read it: this process, or the child that has stopped because it may not."""

    def __init__(self) -> None:
        self._is_given = False

    def look(self, child: subprocess.Popen[bytes]) -> None:
        """Give it to a child that has stopped to read it; stop with one that Ctrl-Z has stopped."""
        number = _stopped_by(child)
        if number == signal.SIGTSTP and self._is_given:
            self.take_back()
            os.kill(os.getpid(), signal.SIGSTOP)
            self._give(child)
        elif number in (signal.SIGTTIN, signal.SIGTTOU):
            self._give(child)

    def take_back(self) -> bool:
        """Returns whether the child had it."""
        was_given, self._is_given = self._is_given, False
        if was_given:
            _hand_over(os.getpgrp())
        return was_given

    def _give(self, child: subprocess.Popen[bytes]) -> None:
        self._is_given = _hand_over(child.pid)
        if self._is_given:
            os.killpg(child.pid, signal.SIGCONT)


def _hand_over(group: int) -> bool:
    """Have the terminal's keys reach a process group; returns whether there is a terminal."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or it would stop who hands it over
    try:
        os.tcsetpgrp(0, group)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGTTOU, before)
    return True


def _stopped_by(child: subprocess.Popen[bytes]) -> int | None:
    """The signal that has stopped a child since the last look."""
    if child.returncode is not None:
        return None
    found, status = os.waitpid(child.pid, os.WNOHANG | os.WUNTRACED)
    if found and os.WIFSTOPPED(status):
        return os.WSTOPSIG(status)
    if found:
        child.returncode = os.waitstatus_to_exitcode(status)
    return None


def _begin(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, process_group=0)


def _watched(path: Path) -> list[Path]:
    """The system's folder, and those of distributions that it names and that are worked on, as by `pip install -e`."""
    found = [path]
    with suppress(ConfigurationError):  # the child says what is wrong
        services: Any = read_toml(path / CONFIGURATION_FILE).get("services")
        for name, facts in _table(services).items():
            distribution = _table(facts).get("distribution")
            if isinstance(distribution, str):
                found += _code_of(distribution, name)
    return found


def _table(value: Any) -> Mapping[str, Any]:
    """A table of a TOML file; an empty one where something else stands."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _code_of(distribution: str, service: str) -> list[Path]:
    try:
        package = place_in(distribution, service).module.partition(".")[0]
        spec = find_spec(package)
    except (ConfigurationError, ImportError, ValueError):
        return []
    places = [] if spec is None else spec.submodule_search_locations or []
    return [Path(place) for place in places if "site-packages" not in Path(place).parts]


def _marks(watched: list[Path]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path in watched:
        for folder, folders, files in os.walk(path):
            folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
            for name in files:
                if name.endswith(_WATCHED):
                    place = os.path.join(folder, name)
                    with suppress(OSError):
                        found[place] = os.stat(place).st_mtime_ns
    return found


def _end(child: subprocess.Popen[bytes], stopped: list[int]) -> None:
    """Ask the child to drain; one more signal to this process is handed on, and ends it at once."""
    asked = len(stopped)
    if child.poll() is None:
        child.terminate()
        os.killpg(child.pid, signal.SIGCONT)  # one that waits for the terminal would not see it
    for _ in range(round(_PATIENCE_S / _LOOK_S)):
        try:
            child.wait(_LOOK_S)
            return
        except subprocess.TimeoutExpired:
            if len(stopped) > max(asked, 1):
                break
    child.kill()
    child.wait()
