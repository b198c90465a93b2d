"""Append-only files outside the shop, and what stands in them.

A line is one JSON object. `append` returns once the line is on disk; all lines that wait at that
moment share one fsync. A line that a crash has torn is cut off when the file is opened again.
"""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

E = TypeVar("E")


class IssuerEntry(NamedTuple):
    """What the card issuer did for an order: `charged`, `declined` or `refunded`."""

    did: str
    order_id: str
    charge_id: str = ""
    cents: int = 0
    currency: str = "EUR"
    reason: str = ""


class Acknowledged(NamedTuple):
    """What the shop has told a customer.

    `what` is `account`, `checkout` (an answer to a checkout with `key`), `order` (an order was
    read), `cancelling` (a cancellation is asked for, whatever comes of it), `cancelled` (an answer
    to it) or `mail` (a mail about `order_id` was read).
    """

    what: str
    account_id: str = ""
    key: str = ""
    order_id: str = ""
    state: str = ""
    cents: int = 0
    mail_id: str = ""


class Journal:
    """One append-only file, written by one process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, _whole_length(path))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._lines: list[bytes] = []
        self._written: asyncio.Future[None] | None = None
        self._writer: asyncio.Task[None] | None = None

    async def append(self, entry: IssuerEntry | Acknowledged) -> None:
        """Add a line. It is on disk when this returns, and gets there whoever stops waiting."""
        line = {name: value for name, value in entry._asdict().items() if value != ""}
        self._lines.append(json.dumps(line).encode() + b"\n")
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all())
        await asyncio.shield(self._written)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._written is not None:
            lines, self._lines = self._lines, []
            written, self._written = self._written, None
            try:
                await loop.run_in_executor(self._thread, self._write, b"".join(lines))
            except OSError as error:
                written.set_exception(error)
            else:
                written.set_result(None)
        self._writer = None

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    async def close(self) -> None:
        """Wait for what is being written, then release the file."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()
        os.close(self._file)


def read_journal(path: Path, kind: Callable[..., E]) -> Iterator[E]:
    """The whole lines of a journal, in order; none where there is no file."""
    if path.exists():
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield kind(**json.loads(line))


def _whole_length(path: Path) -> int:
    """How long the file is without a torn last line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - 4096)
            file.seek(start)
            end = file.read(size - start).rfind(b"\n")
            if end >= 0:
                return start + end + 1
            size = start
    return 0
