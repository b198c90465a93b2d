"""Where a demo keeps what, and how its databases are looked into: read-only."""

from pathlib import Path
from typing import Any, NamedTuple

import apsw

SERVICES = ("accounts", "search", "orders", "payments", "notifications")
BUSY_MS = 2000


class Places(NamedTuple):
    """Where a demo keeps what. `data` belongs to the server; the rest stands outside of it."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"

    @property
    def issuer(self) -> Path:
        return self.folder / "issuer.jsonl"

    @property
    def mailbox(self) -> Path:
        return self.folder / "mailbox"


class Rows:
    """A database file, to be asked and not to be changed."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.set_busy_timeout(BUSY_MS)

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(sql))

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
