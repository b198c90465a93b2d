"""`borough db create`: what it makes, what it says, and that nobody else comes in."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from borough.cli import main
from borough.engines.postgres import PostgresServer
from borough.testing import start
from tests.cli.systems import importable_system
from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]

Say = Callable[..., tuple[int, str, str]]
FILES = {
    "notes/migrations/postgres/0001_notes.sql": (
        "create table notes (id bigint generated always as identity primary key, text text not null)"
    )
}
_numbers = count(1)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    package = f"kept{next(_numbers)}"
    with importable_system(tmp_path, package, FILES) as found:
        yield found


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = main(list(words))
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@pytest.fixture
def admin(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ADMIN_URL", f"{postgres_server.url}/postgres")
    return "env:ADMIN_URL"


def choose(root: Path, url: str) -> None:
    with (root / "borough.toml").open("a", encoding="utf-8") as file:
        file.write(f'\n[data]\nstore = "postgres"\n\n[data.postgres]\nurl = "{url}"\n')


WITHOUT_DRIVER = """
import sys
sys.modules["asyncpg"] = None
from borough.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--print",), 0, 'create database "notes"'),
        (("--admin", "env:ADMIN_URL"), 2, "PostgreSQL needs a package that is not installed"),
    ],
)
def test_the_sql_is_shown_though_nothing_that_speaks_to_a_server_is_installed(
    root: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    command = [sys.executable, "-c", WITHOUT_DRIVER, "db", "create", str(root), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_service_works_in_the_database_that_was_made_for_it(
    root: Path, say: Say, admin: str, postgres_server: PostgresServer
) -> None:
    status, out, err = say("db", "create", str(root), "--admin", admin)
    assert (status, out) == (0, "notes: database notes, role notes: made\n")
    assert 'url = "file:.borough/postgres/{service}.url"' in err
    kept = root / ".borough" / "postgres" / "notes.url"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    password = urlsplit(kept.read_text()).password
    assert password is not None
    assert password not in out + err
    choose(root, "file:.borough/postgres/{service}.url")

    async def write() -> int:
        async with start(root) as running:
            note = await running.service("notes").write("milk")
            return int(note.id)

    assert asyncio.run(write()) == 1
    said = json.loads(say("db", "create", str(root), "--admin", admin, "--json")[1])
    assert said == {
        "services": [{"service": "notes", "database": "notes", "role": "notes", "made": False}]
    }

    async def intrude() -> None:
        host = f"127.0.0.1:{postgres_server.port}"
        own = f"postgresql://notes:{password}@{host}"
        connection = await asyncpg.connect(f"{own}/notes")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("create database mine")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("create role mine")
        await connection.close()
        there = await asyncpg.connect(f"{postgres_server.url}/postgres")
        await there.execute("create role stranger login password 'stranger'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(f"postgresql://stranger:stranger@{host}/notes")
        await there.close()

    asyncio.run(intrude())


def test_a_database_of_somebody_else_is_refused_and_left_as_it_is(
    root: Path, say: Say, admin: str, postgres_server: PostgresServer
) -> None:
    choose(root, "postgresql://newcomer@db.internal/old_{service}")

    async def ask(*statements: str) -> object:
        there = await asyncpg.connect(f"{postgres_server.url}/postgres")
        for sql in statements[:-1]:
            await there.execute(sql)
        found = await there.fetchval(statements[-1])
        await there.close()
        return found

    look = "select datacl::text from pg_database where datname = 'old_notes'"
    assert (
        asyncio.run(ask("create role elder", "create database old_notes owner elder", look)) is None
    )
    status, out, err = say("db", "create", str(root), "--admin", admin)
    assert (status, out) == (2, "")
    assert "the database old_notes is there and belongs to elder, not to newcomer" in err
    assert asyncio.run(ask(look)) is None
    assert asyncio.run(ask("select count(*) from pg_roles where rolname = 'newcomer'")) == 0


def test_a_role_with_another_password_is_told_and_no_password_is_kept(
    root: Path, say: Say, admin: str, postgres_server: PostgresServer
) -> None:
    say("db", "create", str(root), "--admin", admin)
    kept = root / ".borough" / "postgres" / "notes.url"
    kept.unlink(missing_ok=True)
    status, out, err = say("db", "create", str(root), "--admin", admin)
    assert (status, out) == (2, "")
    assert "the role notes has another password" in err
    assert not kept.exists()


def test_what_is_printed_has_no_password(
    root: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTES_URL", "postgresql://keeper:open-sesame@db.internal/notes_{service}")
    choose(root, "env:NOTES_URL")
    status, out, _ = say("db", "create", str(root), "--print")
    assert status == 0
    assert 'create role "keeper" login' in out
    assert 'create database "notes_notes" owner "keeper"' in out
    assert "open-sesame" not in out


def test_an_asgi_application_gets_no_database(root: Path, say: Say) -> None:
    with (root / "borough.toml").open("a") as file:
        file.write('\n[services.legacy]\nasgi = "legacy.main:app"\nallow = "user"\n')
    status, out, error = say("db", "create", str(root), "--print")
    assert status == 0, error
    assert 'create database "notes"' in out
    assert "legacy" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--admin says by which URL"),
        (("--admin", "postgresql://root:secret1@db"), "clear"),
        (("--admin", "env:NOWHERE"), "the environment has no NOWHERE"),
        (("--admin", "postgresql://root@127.0.0.1:99999/x"), "a port of 1 to 65535"),
        (("--admin", "postgresql://root@127.0.0.1:notaport/x"), "a port of 1 to 65535"),
        (("--admin", "postgresql://root@127.0.0.1:1/x"), "URL is not reached: "),
        (("--services", "books", "--print"), "there is no service 'books'"),
    ],
)
def test_a_mistake_is_one_clear_sentence(
    root: Path, say: Say, words: tuple[str, ...], said: str
) -> None:
    status, out, err = say("db", "create", str(root), *words)
    assert (status, out) == (2, "")
    assert said in err
    assert "secret1" not in err


def test_the_sql_is_one_document_where_that_is_asked_for(root: Path, say: Say) -> None:
    status, out, _ = say("db", "create", str(root), "--print", "--json")
    (found,) = json.loads(out)["services"]
    assert (status, found["database"], found["role"]) == (0, "notes", "notes")
    assert [sql.split()[0] for sql in found["statements"]] == ["create", "create", "revoke"]
    assert [sql.split()[0] for sql in found["inside"]] == ["revoke", "grant"]


def test_one_database_for_all_services_is_refused(root: Path, say: Say) -> None:
    choose(root, "postgresql://keeper@db.internal/all")
    status, _, err = say("db", "create", str(root), "--print")
    assert status == 2
    assert "each has its own: write {service}" in err
