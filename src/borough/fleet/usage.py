"""What a process costs: memory and time as the kernel counts them, where the kernel tells."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cpu_seconds", "memory_mib"]

_SOURCES = (("smaps_rollup", "Pss:"), ("status", "VmRSS:"))
_KIB_PER_MIB = 1024
_USER, _SYSTEM = 11, 12
"""Where these times stand behind the name in /proc/PID/stat."""


def memory_mib(pid: int) -> float | None:
    """MiB of a process: shared pages by its share (PSS), else what is resident; None if nobody tells."""
    for name, field in _SOURCES:
        try:
            text = Path(f"/proc/{pid}/{name}").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            continue
        for line in text.splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / _KIB_PER_MIB
    return None


def cpu_seconds(pid: int) -> float | None:
    """Seconds of a processor that it has used; None if nobody tells."""
    try:
        # Its name comes second, in brackets, and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
