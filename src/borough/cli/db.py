"""`borough db create`: a PostgreSQL database and role for each service, with the least that it needs."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from borough.cli.chosen import chosen_services
from borough.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from borough.runtime.configuration import Configuration
    from borough.stores.homes import Home

__all__ = ["add"]

_EXAMPLE = """examples:
  borough db create examples/shop --print
  borough db create examples/shop --admin env:POSTGRES_ADMIN_URL
  borough db create examples/shop --admin env:POSTGRES_ADMIN_URL --services orders,payments"""
_FOLDER = "postgres"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "db",
        help="make databases for services",
        description="Make what services keep their data in, where that is a PostgreSQL server.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    create = acts.add_parser(
        "create",
        help="a database and a role for each service",
        description="Make a database and a role for each service, with the least that it needs: what is there is "
        "left as it is. Names and passwords are those of data.postgres.url; where it is not set they are made, and "
        "kept in the data folder.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    create.add_argument(
        "path",
        nargs="?",
        default=".",
        metavar="PATH",
        help="the folder with borough.toml (default: here)",
    )
    create.add_argument(
        "--admin",
        metavar="URL",
        help="of who may make databases and roles: env:NAME, file:PATH, or a URL without a password",
    )
    create.add_argument(
        "--services", metavar="NAMES", help="for these only, with commas between (default: all)"
    )
    create.add_argument("--print", action="store_true", help="show the SQL, and do nothing")
    create.add_argument("--json", action="store_true", help="print one JSON document")
    create.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from borough.runtime.applications import Application
    from borough.runtime.system import System, service_name

    system = System.load(options.path)
    configuration = system.configuration
    # An ASGI application has its data where it has always had them.
    ours = [cls for cls in system.services if not issubclass(cls, Application)]
    known = sorted({service_name(cls) for cls in ours})
    services = chosen_services(options.services, known)
    if options.print:
        homes = _homes(configuration, services, None)
        if options.json:
            print(msgspec.json.encode(_statements(homes)).decode())
        else:
            _print(homes)
        return 0
    try:
        from borough.stores.postgres.provision import provide, refuse_foreign
    except ImportError:
        raise ConfigurationError(
            "PostgreSQL needs a package that is not installed: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[postgres]'"
        ) from None
    if options.admin is None:
        raise ConfigurationError(
            "--admin says by which URL databases and roles can be made; --print only shows the SQL"
        )
    admin = configuration.address("--admin", options.admin)
    homes = _homes(configuration, services, admin.reveal())
    asyncio.run(refuse_foreign(admin.reveal(), homes))
    if configuration.options.data.postgres.url is None:
        for home in homes:
            _keep(configuration, home, admin.reveal())
    made = asyncio.run(provide(admin.reveal(), homes))
    if options.json:
        print(msgspec.json.encode(_document(homes, made)).decode())
        return 0
    for home in homes:
        done = "made" if home.service in made else "was there"
        print(f"{home.service}: database {home.database}, role {home.role}: {done}")
    if configuration.options.data.postgres.url is None:
        _tell_option(configuration)
    return 0


def _homes(configuration: Configuration, services: Sequence[str], admin: str | None) -> list[Home]:
    """Where each service's data is to be. What nothing says is made up, if there is an administrator."""
    from borough.runtime.adapters import postgres_url
    from borough.stores.homes import Home, home_of

    if configuration.options.data.postgres.url is not None:
        return [
            home_of(service, postgres_url(configuration, service).reveal()) for service in services
        ]
    if admin is None:
        return [Home(service, service, service, "") for service in services]
    homes: list[Home] = []
    for service in services:
        path = _kept(configuration, service)
        if path.exists():
            homes.append(home_of(service, path.read_text(encoding="utf-8").strip()))
        else:
            homes.append(Home(service, service, service, secrets.token_urlsafe(24)))
    return homes


def _kept(configuration: Configuration, service: str) -> Path:
    return configuration.data_folder / _FOLDER / f"{service}.url"


def _keep(configuration: Configuration, home: Home, admin: str) -> None:
    """Keep the URL of a home that was made up, with its password, in a file for its owner only."""
    path = _kept(configuration, home.service)
    if path.exists():
        return
    server = urlsplit(admin)
    host = server.netloc.rpartition("@")[2]
    netloc = f"{quote(home.role)}:{home.password}@{host}"
    url = urlunsplit(server._replace(netloc=netloc, path=f"/{home.database}"))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(url + "\n")


def _print(homes: Sequence[Home]) -> None:
    from borough.stores.homes import statements, statements_inside

    for home in homes:
        print(f"-- {home.service}")
        for sql in statements(home):
            print(f"{sql};")
        print(f'\\connect "{home.database}"')
        for sql in statements_inside(home):
            print(f"{sql};")
        print()


def _statements(homes: Sequence[Home]) -> dict[str, Any]:
    """What `--print` prints: `statements` are for any database of the server, `inside` for the one that they make."""
    from borough.stores.homes import statements, statements_inside

    return {
        "services": [
            {
                "service": home.service,
                "database": home.database,
                "role": home.role,
                "statements": statements(home),
                "inside": statements_inside(home),
            }
            for home in homes
        ]
    }


def _document(homes: Sequence[Home], made: Sequence[str]) -> dict[str, Any]:
    return {
        "services": [
            {
                "service": home.service,
                "database": home.database,
                "role": home.role,
                "made": home.service in made,
            }
            for home in homes
        ]
    }


def _tell_option(configuration: Configuration) -> None:
    folder: Path = configuration.data_folder / _FOLDER
    home = configuration.folder.resolve()
    where = folder.resolve()
    shown = where.relative_to(home) if where.is_relative_to(home) else where
    print(
        "\nThese lines in borough.toml say where they are:\n\n"
        '[data]\nstore = "postgres"\n\n'
        f'[data.postgres]\nurl = "file:{shown}/{{service}}.url"',
        file=sys.stderr,
    )
