"""Whose line an error is: of a team's own code, and not of what has called it or was called by it here."""

from __future__ import annotations

import traceback

from borough.telemetry.frames import is_of_borough

__all__ = ["own_place"]


def own_place(error: BaseException) -> tuple[str | None, int | None]:
    """File and line where an error came from, outside of Borough and of Python's own importing."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename)]
    return (own[-1].filename, own[-1].lineno) if own else (None, None)


def _is_own(file: str) -> bool:
    return not is_of_borough(file) and "importlib" not in file
