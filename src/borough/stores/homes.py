"""A PostgreSQL database and a role for a service, with the least that it needs: their names, and the SQL for them.

The role owns its database, in which it makes its tables, and may do nothing else on the server; nobody else may
connect. Nothing here speaks to a server, and so no driver is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import msgspec

from borough.errors import ConfigurationError

__all__ = ["Home", "home_of", "quoted_name", "statements", "statements_inside"]

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
    role, database = quoted_name(home.role), quoted_name(home.database)
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
        f"grant all on schema public to {quoted_name(home.role)}",
    )


def quoted_name(name: str) -> str:
    """A name as SQL has it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _text(text: str, is_shown: bool) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if is_shown else _HIDDEN
