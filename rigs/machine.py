"""Who else uses the machine while a rig tries something: where others take it, less is left than was measured."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Usage", "usage"]

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE, _WAITS = 3, 4


class Usage(NamedTuple):
    """Processor seconds so far: of everybody, and of the rig with its processes."""

    at_s: float
    everybody_s: float
    ours_s: float

    def others_since(self, before: Usage) -> float:
        """How many processors others have used since then, on average."""
        theirs_s = (self.everybody_s - before.everybody_s) - (self.ours_s - before.ours_s)
        return max(theirs_s / (self.at_s - before.at_s), 0.0)


def usage(pid: int) -> Usage:
    """As it is now. `pid` is a process of the rig that has not been waited for; those below it count, too."""
    fields = Path("/proc/stat").read_text().split(None, 9)[1:9]
    ticks = sum(int(each) for number, each in enumerate(fields) if number not in (_IDLE, _WAITS))
    return Usage(time.monotonic(), ticks / _TICKS, sum(os.times()[:4]) + _of_tree(pid))


def _of_tree(pid: int) -> float:
    used_s = 0.0
    with suppress(OSError):  # it has ended meanwhile
        place = Path(f"/proc/{pid}")
        ticks = (place / "stat").read_text().rpartition(") ")[2].split()[11:15]
        used_s = sum(int(each) for each in ticks) / _TICKS
        for thread in (place / "task").iterdir():
            children = (thread / "children").read_text().split()
            used_s += sum(_of_tree(int(child)) for child in children)
    return used_s
