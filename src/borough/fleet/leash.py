"""Becomes a command that is told to stop when whoever has started it is gone, however that ended.

A service that is no code of Borough's has no line to its supervisor whose end it could see; Linux sends it
SIGTERM instead. What was asked for before `exec` holds after it, and the process id stays.

    python -I -S leash.py SUPERVISOR_PID COMMAND ARGUMENT ...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_SIGNAL_AT_PARENTS_DEATH = 1
_NOT_STARTED = 127


def main() -> int:
    """Run the command in place of this program; returns only where that cannot be."""
    supervisor, *argv = sys.argv[1:]
    ctypes.CDLL(None).prctl(_SIGNAL_AT_PARENTS_DEATH, signal.SIGTERM)
    if os.getppid() != int(supervisor):
        return 0  # it went before it was asked for
    # Python ignores them, and that would be inherited.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", flush=True)
        return _NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
