"""Processes that rigs start: apart from the terminal, with the modules of the rigs and of the shop at hand."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from rigs.episodes import ROOT

__all__ = ["launch", "module_path"]


def module_path() -> str:
    """`PYTHONPATH` for a process that a rig starts."""
    paths = [str(ROOT), str(ROOT / "examples"), os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(path for path in paths if path)


async def launch(
    *words: str,
    environment: Mapping[str, str],
    errors: int | IO[Any],
) -> asyncio.subprocess.Process:
    """Start Python with these arguments; what it says on standard output is read by the rig."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *words),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env=environment,
        start_new_session=True,
    )
