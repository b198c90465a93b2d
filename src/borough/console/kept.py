"""What `borough run` keeps of traces, logs and metrics, as the console asks it: in a thread of its own.

The file is opened when first asked for, beside whoever writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from borough.errors import ConfigurationError, Unavailable
from borough.observing.store import FILE, TelemetryFile

__all__ = ["KeptTelemetry"]

T = TypeVar("T")


class KeptTelemetry:
    """The file of a data folder. One question at a time; nothing blocks the loop."""

    def __init__(self, folder: Path, most_mib: int) -> None:
        self._path = folder / FILE
        self._most_bytes = most_mib * 1024 * 1024
        self._file: TelemetryFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="borough-console")
        self._is_closed = False

    async def ask(self, question: Callable[[TelemetryFile], T]) -> T:
        """The answer to a question. Raises `Unavailable` where nothing is kept."""
        if self._is_closed:
            raise Unavailable("The console is closing")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)

    def _ask(self, question: Callable[[TelemetryFile], T]) -> T:
        if self._file is None:
            if not self._path.exists():
                raise Unavailable(
                    "Nothing is kept of this system: `borough run` keeps it, unless telemetry.keep is false"
                )
            try:
                self._file = TelemetryFile(self._path, self._most_bytes)
            except ConfigurationError as error:
                raise Unavailable(str(error)) from error
        try:
            return question(self._file)
        except apsw.Error as error:
            raise Unavailable(f"What is kept cannot be read now: {error}") from error

    async def close(self) -> None:
        """Release the file. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            if self._file is not None:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown(wait=False)
