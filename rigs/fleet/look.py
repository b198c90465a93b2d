"""Looks at processes from outside: which there are, which files they hold, which tasks they have."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Holdings", "holdings_of", "members_of", "processes_of"]

_MEMBER = b"rigs.fleet.member"
_ANSWER_S = 5.0


class Holdings(NamedTuple):
    """What a process holds, by kind."""

    files: int
    sockets: int
    tasks: Mapping[str, int]


def processes_of(data: Path) -> dict[int, bytes]:
    """Every living process that runs on a data folder, with its command line."""
    wanted = b"BOROUGH_DATA_FOLDER=" + os.fsencode(data)
    found: dict[int, bytes] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended meanwhile, or is somebody else's
                if wanted in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found[int(name)] = Path(f"/proc/{name}/cmdline").read_bytes()
    return found


def members_of(data: Path) -> dict[str, int]:
    """The processes of a fleet by member: the name is the last word of the command line."""
    return {
        line.rstrip(b"\0").rpartition(b"\0")[2].decode(): pid
        for pid, line in processes_of(data).items()
        if _MEMBER in line
    }


async def holdings_of(pid: int, reports: Path) -> Holdings | None:
    """What a member holds; None where it has ended."""
    report = reports / f"{pid}.json"
    report.unlink(missing_ok=True)
    try:
        os.kill(pid, signal.SIGUSR1)
        async with asyncio.timeout(_ANSWER_S):
            while not report.exists():  # noqa: ASYNC110 - it is another process that writes it
                await asyncio.sleep(0.02)
    except (ProcessLookupError, TimeoutError):
        return None
    opened = descriptors_of(pid)
    return Holdings(opened["file"], opened["socket"], Counter(json.loads(report.read_text())))


def descriptors_of(pid: int) -> Counter[str]:
    """How many files and sockets a process has open."""
    found: Counter[str] = Counter()
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                place = os.readlink(f"/proc/{pid}/fd/{name}")
                found["socket" if place.startswith("socket:") else "file"] += 1
    return found
