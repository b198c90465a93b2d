"""What a process costs: memory as the kernel counts it, where the kernel tells."""

from __future__ import annotations

from pathlib import Path

__all__ = ["memory_mib"]

_SOURCES = (("smaps_rollup", "Pss:"), ("status", "VmRSS:"))
_KIB_PER_MIB = 1024


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
