"""Signals at the very end: once the event loop is closed, Python's own handling of them is in force again."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
from types import FrameType

__all__ = ["hangs_up", "quit_from_now_on"]

_ENDED = 130


def hangs_up() -> bool:
    """Whether the end of the terminal is to be heard; whoever starts by `nohup` wants it unheard."""
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN


def quit_from_now_on() -> None:
    """Everything has been seen off: one more signal ends the command, with the status of a second one."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    # One that comes between the two handlers waits: by itself it would end the process as if killed.
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, _quit)
        if loop.remove_signal_handler(signal.SIGHUP):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    atexit.register(_hear_none)


def _quit(_number: int, _frame: FrameType | None) -> None:
    os._exit(_ENDED)


def _hear_none() -> None:
    """Python is about to take its handlers back: from there a signal would end the process as if killed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
