"""Log lines on their way out: what `logging` is told is kept, masked, until the next batch."""

from __future__ import annotations

import logging
from collections import deque

from borough.services.context import where
from borough.telemetry.logs import extras_of
from borough.telemetry.masking import masked
from borough.telemetry.otlp_logs import LogLine

__all__ = ["LogLines"]

_ROOM = 8192
_LONGEST = 8192


class LogLines(logging.Handler):
    """Keeps lines of the process; `dropped` counts those that there was no room for."""

    def __init__(self, system: str, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._system = system
        self._lines: deque[LogLine] = deque(maxlen=_ROOM)
        self._told = 0
        self._taken = 0
        self._plain = logging.Formatter("%(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line. Lines about telemetry itself stay: they would never end."""
        if record.name == "borough.telemetry":
            return
        here = where()
        service, trace = (self._system, None) if here is None else here
        self._told += 1
        try:
            text, attributes = masked(self._plain.format(record))[:_LONGEST], extras_of(record)
        except Exception:  # its arguments do not fit: it is lost here, and standard error says why
            return
        self._lines.append(
            LogLine(
                at_ns=int(record.created * 1e9),
                level=record.levelno,
                level_name=record.levelname,
                logger=record.name,
                text=text,
                service=service or self._system,
                trace=trace,
                attributes=attributes,
            )
        )

    def take(self) -> list[LogLine]:
        """All since the last time."""
        lines = self._lines
        taken = [lines.popleft() for _ in range(len(lines))]
        self._taken += len(taken)
        return taken

    @property
    def dropped(self) -> int:
        """How many were lost."""
        return max(0, self._told - self._taken - len(self._lines))
