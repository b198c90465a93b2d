"""A traceback has the frames of who wrote the service, and of ours only what may be our fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from borough.errors import StoreError
from borough.telemetry import frames
from borough.telemetry.frames import ExcInfo, own_frames

OURS = str(Path(frames.__file__).parents[1] / "runtime" / "some.py")


def module(path: str, text: str) -> ModuleType:
    """A module that seems to stand there."""
    made = ModuleType("seeming")
    exec(compile(text, path, "exec"), vars(made))
    return made


def caught(error: BaseException, *places: str) -> ExcInfo:
    """The error as it comes out of functions in these files, the outermost first."""

    def fail() -> None:
        raise error

    function = fail
    for place in reversed(places):
        made = module(place, "def call(inner):\n    inner()\n")
        function = (lambda call, inner: lambda: call(inner))(made.call, function)
    try:
        function()
    except type(error):
        return sys.exc_info()
    raise AssertionError


def places(text: str) -> list[str]:
    return [line.split('"')[1] for line in text.splitlines() if line.startswith('  File "')]


def test_frames_of_ours_are_left_out_and_counted() -> None:
    text = own_frames(caught(KeyError("x"), OURS, "/s/service.py", OURS, "/s/data.py"))
    assert [place for place in places(text) if place != __file__] == [
        "/s/service.py",
        "/s/data.py",
    ]
    assert text.endswith(
        "KeyError: 'x'\n(2 frames of Borough are left out; `--verbose` shows them)"
    )


@pytest.mark.parametrize(("error", "ends"), [(KeyError("x"), [OURS]), (StoreError("no"), [])])
def test_the_end_of_a_traceback_stays_where_the_fault_may_be_ours(
    error: Exception, ends: list[str]
) -> None:
    def inner() -> None:
        module(OURS, "def call(error):\n    raise error\n").call(error)

    try:
        module("/s/service.py", "def call(inner):\n    inner()\n").call(inner)
    except type(error):
        text = own_frames(sys.exc_info())
    else:
        raise AssertionError
    assert places(text) == [__file__, "/s/service.py", __file__, *ends]


def test_a_traceback_of_ours_alone_stays_whole() -> None:
    error = KeyError("x")
    try:
        exec(compile("raise error", OURS, "exec"), {"error": error})
    except KeyError:
        kind, value, trace = sys.exc_info()
        assert kind is not None
        assert value is not None
        assert trace is not None
        text = own_frames((kind, value, trace.tb_next))
    else:
        raise AssertionError
    assert places(text) == [OURS]
    assert "left out" not in text


_LOGGED = """
import logging
from borough.telemetry.logs import begin_logging
begin_logging(logging.{level})
try:
    exec(compile("def call(do): do()", {ours!r}, "exec"))
    call(lambda: {{}}["x"])
except KeyError:
    logging.getLogger("x").exception("failed")
"""


@pytest.mark.parametrize(("level", "whole"), [("INFO", False), ("DEBUG", True)])
def test_a_log_line_has_the_whole_traceback_where_details_are_wanted(
    level: str, whole: bool
) -> None:
    code = _LOGGED.format(level=level, ours=OURS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("KeyError: 'x'") == 1
    assert (OURS in done.stderr) is whole
