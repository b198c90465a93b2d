"""Where the `borough` command begins, outside of the package, whose import takes longer than a finger needs for Ctrl-C.

Until then nothing has been done that would have to be undone, and a traceback through imports tells nobody anything.
"""

import os
import signal
from types import FrameType

__all__ = ["main"]

_ENDED = 130
_TERMINATED = 143


def main() -> int:
    """Run one command; returns the exit status."""
    hears = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # else it is to be ignored
    if hears:
        signal.signal(signal.SIGINT, _quit)
    if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # A container's first process hears only what it has a handler for, and would be killed in the end.
        signal.signal(signal.SIGTERM, _terminate)
    from borough.cli import main as command

    try:
        if hears:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return command()
    except KeyboardInterrupt:
        return _ENDED


def _quit(_number: int, _frame: FrameType | None) -> None:
    os._exit(_ENDED)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """Like any other process that nothing has to be undone for."""
    os._exit(_TERMINATED)
