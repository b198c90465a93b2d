"""A traceback for who wrote the service: the frames of its own code, and not those of what called it.

A failing operation has twenty frames of ours above each of its own. What stays of ours is the end of a
traceback that is no error of ours by name, since there the fault may be our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from pathlib import Path
from types import TracebackType

from borough.errors import BoroughError

__all__ = ["ExcInfo", "is_of_borough", "own_frames"]

_PACKAGE = Path(__file__).parents[1]
_EXAMPLES = f"{_PACKAGE}/examples/"
"""Where a wheel has the systems of `borough demo`: a team's code as any other."""
_BETWEEN = (str(Path(asyncio.__file__).parent), contextlib.__file__)
"""What of Python's own stands between frames of ours."""
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def own_frames(info: ExcInfo) -> str:
    """The traceback without its last line end; the number of frames that were left out stands below it."""
    kind, error, trace = info
    if kind is None or error is None:
        return "NoneType: None"
    told = traceback.TracebackException(kind, error, trace)
    left_out = _shorten(told, error, set())
    text = "".join(told.format()).removesuffix("\n")
    if left_out:
        text += f"\n({left_out} frames of Borough are left out; `--verbose` shows them)"
    return text


def _shorten(
    told: traceback.TracebackException, error: BaseException | None, seen: set[int]
) -> int:
    """Take frames of ours out of an exception and what caused it; returns how many."""
    if id(told) in seen:
        return 0
    seen.add(id(told))
    keeps_end = not isinstance(error, BoroughError)
    last = max((at for at, frame in enumerate(told.stack) if not _is_ours(frame)), default=-1)
    kept = [
        frame
        for at, frame in enumerate(told.stack)
        if last == -1 or not _is_ours(frame) or (keeps_end and at > last)
    ]
    left_out = len(told.stack) - len(kept)
    told.stack[:] = kept
    for below, cause in (
        (told.__cause__, None if error is None else error.__cause__),
        (told.__context__, None if error is None else error.__context__),
    ):
        if below is not None:
            left_out += _shorten(below, cause, seen)
    return left_out


def is_of_borough(file: str) -> bool:
    """Whether a file is Borough's own, and no team's."""
    return file.startswith(f"{_PACKAGE}/") and not file.startswith(_EXAMPLES)


def _is_ours(frame: traceback.FrameSummary) -> bool:
    return is_of_borough(frame.filename) or frame.filename.startswith(_BETWEEN)
