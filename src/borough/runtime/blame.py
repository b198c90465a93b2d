"""Whose line an error is: of a team's own code, and not of what has called it or was called by it here."""

from __future__ import annotations

import sysconfig
import traceback

from borough.telemetry.frames import is_of_borough

__all__ = ["own_place"]

_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib"))
_PYTHON = f"{sysconfig.get_path('stdlib')}/"


def own_place(error: BaseException) -> tuple[str | None, int | None]:
    """File and line where an error came from, outside of Borough and of Python's own importing."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    others = [frame for frame in frames if _is_own(frame.filename)]
    # A library that raises was called with something; but a team's own code may be installed, too.
    named = [frame for frame in others if not _is_python(frame.filename)]
    own = [frame for frame in named if not frame.filename.startswith(_INSTALLED)] or named or others
    return (own[-1].filename, own[-1].lineno) if own else (None, None)


def _is_own(file: str) -> bool:
    return not is_of_borough(file) and "importlib" not in file


def _is_python(file: str) -> bool:
    return file.startswith(_PYTHON) and not file.startswith(_INSTALLED)
