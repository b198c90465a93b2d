"""Where the event loop stands still is said, and nothing is said of a loop that turns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pdb  # noqa: T100 - what a team would stand in
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from borough.clock import SystemClock
from borough.runtime.loop_watch import LOOK_S, LoopWatch, _find_place, watched_loop
from borough.services.context import Call, where
from borough.transports.callee import _steps


class Heard(logging.Handler):
    """Keeps what is said, with what it is said of, and tells that something was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said = threading.Event()
        self.lines: list[str] = []
        self.places: list[object] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.places.append(where())
        self.said.set()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(autouse=True)
def _hearing(heard: Heard) -> Iterator[None]:
    logger = logging.getLogger("borough.loop")
    logger.addHandler(heard)
    yield
    logger.removeHandler(heard)


async def test_the_line_is_said_at_which_a_handler_blocks(heard: Heard) -> None:
    with watched_loop(SystemClock()):
        await asyncio.sleep(0)
        assert heard.said.wait(20)
    assert "test_loop_watch.py:" in heard.lines[0]
    assert "(test_the_line_is_said_at_which_a_handler_blocks)" in heard.lines[0]
    assert not [each for each in threading.enumerate() if each.name == "borough-loop-watch"]


class Watched:
    """A watch of this loop whose looks and clocks are a test's."""

    def __init__(self) -> None:
        self.now_s = self.queued_s = 0.0
        self._watch = LoopWatch(
            asyncio.get_running_loop(),
            threading.get_ident(),
            lambda: self.now_s,
            lambda: self.queued_s,
        )

    def block(self, *between: Callable[[], None]) -> None:
        """Block the loop for a look more than there are things to do between two looks."""

        def look_on() -> None:
            self._watch.look()
            for each in between:
                self.now_s += LOOK_S
                each()
                self._watch.look()

        with ThreadPoolExecutor(1) as threads:
            threads.submit(look_on).result()

    def pause(self) -> None:
        self.now_s += 60

    def queue(self) -> None:
        self.queued_s += LOOK_S


def nothing() -> None:
    """Time alone passes."""


async def test_a_loop_that_turns_between_two_looks_is_not_said_to_stand(heard: Heard) -> None:
    watched = Watched()
    for _ in range(5):
        watched.block()
        await asyncio.sleep(0)
    assert heard.lines == []


async def test_a_process_that_was_paused_or_had_no_processor_blames_nobody(heard: Heard) -> None:
    watched = Watched()
    watched.block(watched.pause, watched.queue)
    assert heard.lines == []
    watched.block(nothing, nothing)
    assert len(heard.lines) == 1


async def test_who_stands_in_a_debugger_is_told_nothing(heard: Heard) -> None:
    watched = Watched()

    class Asked(pdb.Pdb):
        def cmdloop(self, intro: object = None) -> None:
            watched.block(nothing, nothing)
            self.set_continue()

    debugger = Asked(nosigint=True)
    debugger.set_trace(sys._getframe())  # pyright: ignore[reportPrivateUsage]
    reached = watched.now_s
    sys.settrace(None)
    assert (reached, heard.lines) == (2 * LOOK_S, [])


async def test_a_place_is_said_once_a_minute_and_again_after_it(heard: Heard) -> None:
    watched = Watched()
    for _ in range(3):
        watched.block(nothing, nothing, nothing)
        await asyncio.sleep(0)
    assert len(heard.lines) == 1
    watched.now_s += 60
    watched.block(nothing)
    assert len(heard.lines) == 2


async def test_the_line_belongs_to_the_call_that_blocks(heard: Heard) -> None:
    watched = Watched()

    async def handler() -> None:
        watched.block(nothing)

    call = Call("desk.Desk.block", "desk", None, None, 0.0, None)
    result: list[object] = []
    list(_steps(call, handler(), result))
    assert "in desk.Desk.block, at " in heard.lines[0]
    assert heard.places == [("desk", None)]


def _function(file: str) -> Callable[[Callable[[], None]], Coroutine[None, None, None]]:
    """A coroutine function of this file that calls what it is given."""
    names: dict[str, Any] = {}
    exec(compile("async def blocking(block):\n    block()\n", file, "exec"), names)
    found: Callable[[Callable[[], None]], Coroutine[None, None, None]] = names["blocking"]
    return found


@pytest.mark.parametrize(
    "file", ["<string>", "/usr/lib/python3/dist-packages/framework.py", contextlib.__file__]
)
async def test_what_calls_the_code_of_a_team_is_not_said_in_its_place(
    heard: Heard, file: str
) -> None:
    watched = Watched()
    await asyncio.create_task(_function(file)(lambda: watched.block(nothing)))
    assert "test_loop_watch.py:" in heard.lines[0]


@pytest.mark.parametrize("file", ["<string>", "desk.py"])
def test_code_of_no_file_or_of_a_relative_one_ends_no_watch(file: str) -> None:
    frame = eval(compile("__import__('sys')._getframe()", file, "eval"))
    assert _find_place([frame]) == (f"{file}:1 (<module>)", None)
