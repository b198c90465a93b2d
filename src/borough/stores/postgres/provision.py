"""A database and a role for a service, with the least that it needs.

The role owns its database, in which it makes its tables, and may do nothing else on the server; nobody else may
connect. What is there already is left as it is, so that it may be run again; a database of another role, or a role
with another password, is somebody else's, and nothing is made then.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from borough.errors import ConfigurationError
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, WRONG_URL, is_wrong_url

__all__ = ["Home", "home_of", "provide", "refuse_foreign", "statements", "statements_inside"]

_CONNECT_S = 10.0
_ROLE = "select 1 from pg_roles where rolname = $1"
_OWNER = "select pg_get_userbyid(datdba) from pg_database where datname = $1"
_HIDDEN = "'...'"


class Home(msgspec.Struct, frozen=True):
    """Where a service's data is to be: the database, its role, and that role's password, if it has one."""

    service: str
    database: str
    role: str
    password: str | None


def home_of(service: str, url: str) -> Home:
    """What the URL of a service's database names. Raises `ConfigurationError` where it names no role."""
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if not parts.username:
        raise ConfigurationError(
            f"the URL of the database of {service} names no role; write postgresql://ROLE@HOST/DATABASE, "
            "where `{service}` stands for the service"
        )
    password = None if parts.password is None else unquote(parts.password)
    return Home(service, database, unquote(parts.username), password)


def statements(home: Home, *, show_password: bool = False) -> Sequence[str]:
    """What makes a home, for the server's own tool: first on any database, then on the home itself."""
    role, database = _name(home.role), _name(home.database)
    secret = "" if home.password is None else f" password {_text(home.password, show_password)}"
    return (
        f"create role {role} login nosuperuser nocreatedb nocreaterole noreplication{secret}",
        # Text sorts by code point, as on SQLite.
        f"create database {database} owner {role} template template0 encoding 'UTF8' lc_collate 'C'",
        f"revoke all on database {database} from public",
    )


def statements_inside(home: Home) -> Sequence[str]:
    """What is said on the home itself: only its role makes tables in it."""
    return (
        "revoke all on schema public from public",
        f"grant all on schema public to {_name(home.role)}",
    )


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
        said = " ".join(str(error).split())
        raise ConfigurationError(
            f"the server refuses: {said}. Give the URL of an administrator, with CREATEROLE and CREATEDB"
        ) from error


async def _refuse_foreign(there: Any, home: Home) -> None:
    owner = await there.fetchval(_OWNER, home.database)
    if owner is not None and owner != home.role:
        raise ConfigurationError(
            f"the database {home.database} is there and belongs to {owner}, not to {home.role}; nothing was "
            f"changed. Name another in data.postgres.url, or give it away: "
            f"alter database {_name(home.database)} owner to {_name(home.role)}"
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
            f"into the URL, or change it: alter role {_name(home.role)} password '...'"
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


def _name(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _text(text: str, is_shown: bool) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if is_shown else _HIDDEN
