"""What a fleet says on standard error: the lines of all processes with their names, and a live table.

Colours and the table are for a terminal only; elsewhere each change of a process is a line.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from borough.fleet.member import Member
from borough.fleet.usage import memory_mib
from borough.telemetry.plain import plain, printable

__all__ = ["FleetView", "table_rows"]

_COLOURS = (36, 33, 35, 32, 34, 96, 93, 95, 92, 94)
_LOUD = "\x1b[1;31m"
_DIM = "\x1b[2m"
_PLAIN = "\x1b[0m"
_COLOUR = re.compile(r"(\x1b\[[0-9;:]*m)")
_DRAW_S = 0.1
_MEASURE_S = 1.0
_HEAD = ("process", "state", "version", "pid", "CPU %", "MiB", "requests/s", "restarts")
_LEFT = 3
"""So many columns are words, the others numbers."""


class Stream(Protocol):
    """What is written to."""

    def isatty(self) -> bool: ...

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class FleetView:
    """Writes to a stream; `members` gives what the table shows."""

    def __init__(
        self, stream: Stream, members: Callable[[], Iterable[Member]], names: Iterable[str]
    ) -> None:
        """`names` are those of the deployables."""
        self._stream = stream
        self._members = members
        self._is_terminal = stream.isatty()
        self._has_colours = self._is_terminal and "NO_COLOR" not in os.environ
        self._colours: dict[str, int] = {}
        self._widest = max(len(f"{name}.1") for name in ("edge", *names))
        self._drawn = 0
        self._drawing: asyncio.TimerHandle | None = None
        self._is_live = False

    def begin_table(self) -> None:
        """Show the table from now on, where there is a terminal."""
        self._is_live = self._is_terminal
        self._draw_later(0.0)

    def end_table(self) -> None:
        """Leave the table as it is; what is said now stands below it."""
        self._is_live = False
        self._drawn = 0
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None

    def say(self, sentence: str) -> None:
        """Say something of the fleet as a whole."""
        self._write(f"{self._erased()}{sentence}\n")

    def line(self, name: str, text: str, *, is_loud: bool = False) -> None:
        """Say a line of a process."""
        self._widest = max(self._widest, len(name))
        front = f"{name:<{self._widest}} | "
        text = self._shown(text)
        if self._has_colours:
            deployable = name.rpartition(".")[0]
            colour = self._colours.setdefault(deployable, len(self._colours))
            front = f"\x1b[{_COLOURS[colour % len(_COLOURS)]}m{front}{_PLAIN}"
            text = f"{_LOUD}{text}{_PLAIN}" if is_loud else text
        self._write(f"{self._erased()}{front}{text}\n")
        self._draw_later(_DRAW_S)

    def _shown(self, text: str) -> str:
        """A program's line may be coloured; it neither orders the terminal about nor stands under another's name."""
        if text.isprintable():
            return text
        pieces = _COLOUR.split(text)
        pieces[::2] = map(printable, pieces[::2])
        if not self._has_colours:
            return "".join(pieces[::2])
        return "".join(pieces) + (_PLAIN if len(pieces) > 1 else "")

    def _erased(self) -> str:
        """What takes the table away, so that a line can stand in its place."""
        drawn, self._drawn = self._drawn, 0
        return f"\x1b[{drawn}A\x1b[J" if drawn else ""

    def _draw_later(self, seconds: float) -> None:
        if not self._is_live:
            return
        loop = asyncio.get_running_loop()
        if self._drawing is not None:
            if self._drawing.when() <= loop.time() + seconds:
                return
            self._drawing.cancel()
        self._drawing = loop.call_later(seconds, self._draw)

    def _draw(self) -> None:
        self._drawing = None
        width, height = shutil.get_terminal_size()
        rows = [row[: width - 1] for row in table_rows(self._members())][: height - 1]
        if self._has_colours and rows:
            rows[0] = f"{_DIM}{rows[0]}{_PLAIN}"
        before = self._erased()
        self._write(before + "".join(f"{row}\n" for row in rows))
        self._drawn = len(rows)
        self._draw_later(_MEASURE_S)

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def table_rows(members: Iterable[Member]) -> list[str]:
    """The table: a head, then a row for each process."""
    rows = [_HEAD, *(_row(member) for member in members)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return [
        "  ".join(
            f"{cell:<{width}}" if column < _LEFT else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(member: Member) -> tuple[str, ...]:
    pid = member.pid
    memory = memory_mib(pid) if pid is not None else None
    has_figures, rate = member.figures is not None, member.requests_per_s
    return (
        member.name,
        member.state,
        plain(member.version),
        str(pid or "-"),
        f"{member.cpu_percent:.0f}" if has_figures else "-",
        f"{memory:.1f}" if memory is not None else "-",
        f"{rate:.0f}" if has_figures and rate is not None else "-",
        str(member.restarts),
    )
