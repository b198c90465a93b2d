"""Makes homes (`stores/homes.py`) on a PostgreSQL server.

What is there already is left as it is, so that it may be run again; a database of another role, or a role
with another password, is somebody else's, and nothing is made then.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from borough.errors import ConfigurationError
from borough.stores.homes import Home, quoted_name, statements, statements_inside
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, WRONG_URL, is_wrong_url

__all__ = ["provide", "refuse_foreign"]

_CONNECT_S = 10.0
_ROLE = "select 1 from pg_roles where rolname = $1"
_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = $1"


async def refuse_foreign(admin_url: str, homes: Sequence[Home]) -> None:
    """Raises `ConfigurationError` where a home is somebody else's already. Changes nothing."""
    with _told():
        there = await asyncpg.connect(admin_url, timeout=_CONNECT_S)
        try:
            for home in homes:
                await _refuse_foreign(there, home)
            known = [home for home in homes if await there.fetchval(_ROLE, home.role)]
        finally:
            await there.close(timeout=_CONNECT_S)
        for home in known:
            await _try(admin_url, home)


async def provide(admin_url: str, homes: Sequence[Home]) -> list[str]:
    """Make what is missing; returns the services that had something missing.

    Raises `ConfigurationError` where the administrator may not, or cannot be, and where a role cannot come in.
    """
    with _told():
        made = [home.service for home in homes if await _provided(admin_url, home)]
        for home in homes:
            await _try(admin_url, home)
    return made


@contextmanager
def _told() -> Generator[None]:
    """Says in a sentence why the server was not reached, or refuses."""
    try:
        yield
    except (*LOST, *WRONG_URL, asyncpg.PostgresError) as error:
        if is_wrong_url(error):  # whose text may quote the password
            raise ConfigurationError(
                "the URL of the administrator cannot be used; write postgresql://ROLE@HOST:PORT/postgres, with "
                "a port of 1 to 65535 and options that PostgreSQL knows"
            ) from None
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, LOST):
            raise ConfigurationError(
                f"the server of the administrator's URL is not reached: {said}. Start it, or mend host and port"
            ) from error
        raise ConfigurationError(
            f"the server refuses: {said}. Give the URL of an administrator, with CREATEROLE and CREATEDB"
        ) from error


async def _refuse_foreign(there: Any, home: Home) -> None:
    owner = await there.fetchval(_OWNER, home.database)
    if owner is not None and owner != home.role:
        raise ConfigurationError(
            f"the database {home.database} is there and belongs to {owner}, not to {home.role}; nothing was "
            f"changed. Name another in data.postgres.url, or give it away: "
            f"alter database {quoted_name(home.database)} owner to {quoted_name(home.role)}"
        )


async def _try(admin_url: str, home: Home) -> None:
    """Come in as the role of a home, which is there: with another password one does not."""
    if home.password is None:
        return
    try:
        inside = await asyncpg.connect(
            admin_url,
            user=home.role,
            password=home.password,
            database=home.database,
            timeout=_CONNECT_S,
        )
    except asyncpg.InvalidPasswordError:
        raise ConfigurationError(
            f"the role {home.role} has another password than that of the URL of {home.service}. Write its own "
            f"into the URL, or change it: alter role {quoted_name(home.role)} password '...'"
        ) from None
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError):
        return  # the database is not made yet, or the role may not come from here
    await inside.close(timeout=_CONNECT_S)


async def _provided(admin_url: str, home: Home) -> bool:
    make_role, make_database, close_database = statements(home, show_password=True)
    is_new = False
    there = await asyncpg.connect(admin_url, timeout=_CONNECT_S)
    try:
        if not await there.fetchval(_ROLE, home.role):
            await there.execute(make_role)
            is_new = True
        sql = "select 1 from pg_database where datname = $1"
        if not await there.fetchval(sql, home.database):
            await there.execute(make_database)
            is_new = True
        await there.execute(close_database)
    finally:
        await there.close(timeout=_CONNECT_S)
    inside = await asyncpg.connect(admin_url, database=home.database, timeout=_CONNECT_S)
    try:
        for sql in statements_inside(home):
            await inside.execute(sql)
    finally:
        await inside.close(timeout=_CONNECT_S)
    return is_new
