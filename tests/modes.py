"""Which modes of `borough.testing` a test can run in."""

from __future__ import annotations

from borough.testing import MODES, Mode

__all__ = ["IN_ONE_PROCESS"]

IN_ONE_PROCESS: tuple[Mode, ...] = tuple(mode for mode in MODES if mode != "processes")
"""Those for a system that is a value of the test's own, or for a clock of its own."""
