"""A database and a role for a service, with the least that it needs.

The role owns its database, in which it makes its tables, and may do nothing else on the server; nobody else may
connect. What is there already is left as it is, so that it may be run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import msgspec

from borough.errors import ConfigurationError
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST

__all__ = ["Home", "home_of", "provide", "statements", "statements_inside"]

_CONNECT_S = 10.0
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


async def provide(admin_url: str, homes: Sequence[Home]) -> list[str]:
    """Make what is missing; returns the services that had something missing.

    Raises `ConfigurationError` where the administrator may not, or cannot be.
    """
    try:
        return [home.service for home in homes if await _provided(admin_url, home)]
    except (*LOST, asyncpg.PostgresError) as error:
        said = " ".join(str(error).split())
        raise ConfigurationError(
            f"the server refuses: {said}. Give the URL of an administrator, with CREATEROLE and CREATEDB"
        ) from error


async def _provided(admin_url: str, home: Home) -> bool:
    make_role, make_database, close_database = statements(home, show_password=True)
    is_new = False
    there = await asyncpg.connect(admin_url, timeout=_CONNECT_S)
    try:
        if not await there.fetchval("select 1 from pg_roles where rolname = $1", home.role):
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
