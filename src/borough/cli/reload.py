"""`borough run --reload`: the same command in a child process, begun anew when a file changes.

The child has a process group of its own, so that Ctrl-C reaches it once, through here, and it drains.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from borough.errors import ConfigurationError

__all__ = ["run_and_reload"]

_WATCHED = (".py", ".sql", ".toml", ".html", ".css", ".js")
_LOOK_S = 0.4
_PATIENCE_S = 25.0


def run_and_reload(path: Path) -> int:
    """Run until Ctrl-C; returns the exit status of the last child. Raises `ConfigurationError`."""
    if not path.is_dir():
        raise ConfigurationError(f"{path} is no folder, so there is nothing to watch")
    # As this process was started: another way in may have another sys.path.
    command = [sys.executable, *(word for word in sys.orig_argv[1:] if word != "--reload")]
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: stopped.append(number))
    seen = _marks(path)
    child = _begin(command)
    waits = False
    while not stopped:
        time.sleep(_LOOK_S)
        now = _marks(path)
        if now != seen:
            changed = sorted(set(now.items()) ^ set(seen.items()))
            print(f"{changed[0][0]} has changed; starting anew", file=sys.stderr)
            seen, waits = now, False
            _end(child, stopped)
            if not stopped:
                child = _begin(command)
        elif child.poll() is not None and not waits:
            waits = True
            print(f"it ended with status {child.returncode}; waiting for a change", file=sys.stderr)
    _end(child, stopped)
    return max(child.returncode, 0)


def _begin(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, process_group=0)


def _marks(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in files:
            if name.endswith(_WATCHED):
                place = os.path.join(folder, name)
                try:
                    found[place] = os.stat(place).st_mtime_ns
                except OSError:
                    continue
    return found


def _end(child: subprocess.Popen[bytes], stopped: list[int]) -> None:
    """Ask the child to drain; one more signal to this process is handed on, and ends it at once."""
    asked = len(stopped)
    if child.poll() is None:
        child.terminate()
    for _ in range(round(_PATIENCE_S / _LOOK_S)):
        try:
            child.wait(_LOOK_S)
            return
        except subprocess.TimeoutExpired:
            if len(stopped) > max(asked, 1):
                break
    child.kill()
    child.wait()
