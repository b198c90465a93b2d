"""Where a demo keeps what, and how its databases are looked into: read-only."""

import asyncio
import os
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apsw

from borough.runtime.adapters import postgres_url
from borough.runtime.configuration import Configuration

SERVICES = ("accounts", "search", "orders", "payments", "notifications")
TOPICS = ("accounts.Accounts", "orders.Orders", "payments.Payments")
BUSY_MS = 2000
SHOP = Path(__file__).parents[1]
OWN_SERVER = Path("engines") / "postgres" / "url"


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


class Tables(Protocol):
    """A database, to be asked and not to be changed."""

    @property
    def is_boroughs(self) -> bool:
        """Whether it is the database of a service of Borough; else of one in another language."""
        ...

    def __call__(self, sql: str) -> list[tuple[Any, ...]]: ...

    def __enter__(self) -> "Tables": ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Release it."""
        ...


class Rows:
    """A database file."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.set_busy_timeout(BUSY_MS)

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(sql))

    @property
    def is_boroughs(self) -> bool:
        """See `Tables`."""
        return bool(self("select 1 from sqlite_master where name = 'borough_outbox'"))

    def __enter__(self) -> "Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()


class ServerRows:
    """A database of a PostgreSQL server. Not to be used where an event loop runs."""

    is_boroughs = True

    def __init__(self, url: str) -> None:
        import asyncpg

        self._runner = asyncio.Runner()
        settings = {"default_transaction_read_only": "on", "application_name": "borough demo"}
        connecting = asyncpg.connect(url, server_settings=settings)
        self._connection: Any = self._runner.run(_awaited(connecting))

    def __call__(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._runner.run(self._connection.fetch(sql))]

    def __enter__(self) -> "ServerRows":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection."""
        self._runner.run(self._connection.close())
        self._runner.close()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def rows_of(places: Places, service: str) -> Tables:
    """The database of a service: a file, or else the server's that the demo or somebody else runs."""
    path = places.data / f"{service}.db"
    if path.exists():
        return Rows(path)
    own = places.folder / OWN_SERVER
    option = {"data.postgres.url": f"file:{own}"} if own.exists() else {}
    configuration = Configuration.load(SHOP, os.environ, option)
    return ServerRows(postgres_url(configuration, service).reveal())
