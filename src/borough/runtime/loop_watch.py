"""Says where the event loop stands still: a handler that blocks holds up all else that its process serves.

Every `LOOK_S` a thread looks whether the loop is at work, and then asks it for a sign of life. Where none has come
by the next look, the loop has not turned in between, and the line at which it stands is said.
"""

from __future__ import annotations

import asyncio
import asyncio.runners
import logging
import math
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from borough.clock import Clock
from borough.services.context import CURRENT, Call
from borough.telemetry.frames import is_of_borough

__all__ = ["LOOK_S", "LoopWatch", "watched_loop"]

_log = logging.getLogger("borough.loop")
LOOK_S = 0.25
_AGAIN_S = 60.0
_MOST_PLACES = 100
_ASYNCIO = f"{Path(asyncio.__file__).parent}/"
_PYTHON = f"{Path(asyncio.__file__).parents[1]}/"
_RUNNERS = asyncio.runners.__file__
_DEBUGGER = f"{_PYTHON}bdb.py"  # pdb and its like stand on it


class LoopWatch:
    """Watches the loop that runs in the thread of this number. `look` is called by another thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread: int,
        monotonic: Callable[[], float],
        queued_s: Callable[[], float],
    ) -> None:
        """`queued_s` says for how long the thread has waited for a processor so far."""
        self._loop = loop
        self._thread = thread
        self._monotonic = monotonic
        self._queued_s = queued_s
        self._asked = self._answered = 0
        self._before: tuple[FrameType, float, float] | None = None
        self._told: dict[str, float] = {}

    def look(self) -> None:
        """Say where the loop stands, if it is where it was at the last look and has not turned since."""
        frames = _step(sys._current_frames().get(self._thread))  # pyright: ignore[reportPrivateUsage]
        before, self._before = self._before, None
        if not frames:  # it waits for something to do, or is about to turn
            return
        now, queued_s = self._monotonic(), self._queued_s()
        self._before = frames[-1], now, queued_s
        if self._answered == self._asked:
            self._asked += 1
            self._loop.call_soon_threadsafe(self._answer, self._asked)
        elif before is not None and before[0] is frames[-1]:
            # A machine that has paused the process or given its time to others is no code's fault.
            is_paused = now - before[1] > 2 * LOOK_S or queued_s - before[2] > LOOK_S / 2
            if not (is_paused or any(each.f_code.co_filename == _DEBUGGER for each in frames)):
                self._tell(frames, now)

    def _answer(self, asked: int) -> None:
        self._answered = asked

    def _tell(self, frames: list[FrameType], now: float) -> None:
        place, call = _find_place(frames)
        if now - self._told.get(place, -math.inf) < _AGAIN_S:
            return
        if len(self._told) >= _MOST_PLACES:
            self._told.clear()
        self._told[place] = now
        token = CURRENT.set(call)  # the line is of this call
        try:
            _log.warning(
                "the event loop has stood still for more than %g s%s at %s: nothing else in this process "
                "runs meanwhile. Await what waits, and put what blocks or computes into in_thread()",
                LOOK_S,
                "" if call is None else f" in {call.operation},",
                place,
            )
        finally:
            CURRENT.reset(token)


@contextmanager
def watched_loop(clock: Clock) -> Generator[None]:
    """Watch the running loop while the block lasts. Costs a thread that wakes four times a second."""
    queued_s = _of_scheduler(threading.get_native_id())
    watch = LoopWatch(asyncio.get_running_loop(), threading.get_ident(), clock.monotonic, queued_s)
    ended = threading.Event()

    def look_on() -> None:
        while not ended.wait(LOOK_S):
            watch.look()

    thread = threading.Thread(target=look_on, name="borough-loop-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _step(frame: FrameType | None) -> list[FrameType]:
    """What the loop runs at the moment, the innermost frame first; empty between two steps."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code.co_filename != _RUNNERS:
        frames.append(frame)
        frame = frame.f_back
    return frames


def _find_place(frames: list[FrameType]) -> tuple[str, Call | None]:
    """The innermost line of the team's code, or of ours where there is none; and the call that runs."""
    call: Call | None = None
    others: list[FrameType] = []
    for frame in frames:
        file = frame.f_code.co_filename
        if is_of_borough(file):
            if call is None and isinstance(found := frame.f_locals.get("call"), Call):
                call = found
        elif not file.startswith((_ASYNCIO, "<")):  # <string> and its like are in no file
            others.append(frame)
    place = frames[0]
    # A web framework stands between us and the team; all is installed where the service itself is.
    of_team = [each for each in others if not _is_installed(each.f_code.co_filename)] or others
    if of_team:  # what stands below the outermost may be a library that it calls
        home = f"{Path(of_team[-1].f_code.co_filename).parent}/"
        ours = (each for each in of_team if each.f_code.co_filename.startswith(home))
        place = next(ours, of_team[-1])
    return f"{place.f_code.co_filename}:{place.f_lineno} ({place.f_code.co_qualname})", call


def _is_installed(file: str) -> bool:
    return file.startswith(_PYTHON) or "/site-packages/" in file or "/dist-packages/" in file


def _of_scheduler(thread: int) -> Callable[[], float]:
    """What Linux says of how long a thread could run and did not; always 0 elsewhere."""
    path = f"/proc/self/task/{thread}/schedstat"

    def queued_s() -> float:
        try:
            with open(path, "rb") as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0

    return queued_s
