"""`borough run --reload`: the same command in a child process, begun anew when a file changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["run_and_reload"]

_WATCHED = (".py", ".sql", ".toml", ".html", ".css", ".js")
_LOOK_S = 0.4
_PATIENCE_S = 25.0


def run_and_reload(path: Path) -> int:
    """Run until Ctrl-C; returns the exit status of the last child."""
    command = [
        sys.executable,
        "-m",
        "borough",
        *(word for word in sys.argv[1:] if word != "--reload"),
    ]
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    child = subprocess.Popen(command)
    seen = _marks(path)
    try:
        while not stopped:
            time.sleep(_LOOK_S)
            now = _marks(path)
            if now == seen:
                continue
            changed = sorted(set(now.items()) ^ set(seen.items()))
            print(f"{changed[0][0]} has changed; starting anew", file=sys.stderr)
            seen = now
            _end(child)
            child = subprocess.Popen(command)
    except KeyboardInterrupt:
        pass
    _end(child)
    return child.returncode if child.returncode is not None and child.returncode >= 0 else 0


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


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
