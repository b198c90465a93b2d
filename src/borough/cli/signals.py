"""Signals at the very end: once the event loop is closed, Python's own handling of them is in force again."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

__all__ = ["quit_from_now_on"]

_ENDED = 130


def quit_from_now_on() -> None:
    """Everything has been seen off: one more signal ends the command, with the status of a second one."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, _quit)


def _quit(_number: int, _frame: FrameType | None) -> None:
    os._exit(_ENDED)
