"""Ends a process of a fleet whose supervisor is gone and whose loop stands still: it would stay for ever.

A loop that goes on hears by itself that its supervisor is gone, and drains. Linux alone tells a thread of
another process's end; elsewhere such a process stays behind.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from borough.runtime.footing import LEFT_BEHIND

__all__ = ["end_alone"]


def end_alone(silent_s: float, beats: Callable[[], int]) -> None:
    """From the end of this process's parent on, exit once `beats` has stood still for `silent_s` seconds."""
    try:
        supervisor = os.pidfd_open(os.getppid())
    except (AttributeError, OSError):  # not Linux, or it went before it was asked for
        return
    threading.Thread(
        target=_watch, args=(supervisor, silent_s, beats), name="borough-alone", daemon=True
    ).start()


def _watch(supervisor: int, silent_s: float, beats: Callable[[], int]) -> None:
    select.select([supervisor], [], [])
    pause, before = threading.Event(), -1
    while (now := beats()) != before:
        before = now
        pause.wait(silent_s)
    os._exit(LEFT_BEHIND)
