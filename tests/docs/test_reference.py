"""What the reference pages say is so: their snippets run, their tables are those of the code."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, final

import pytest

from borough import Database, Service, System
from borough.errors import StoreError
from borough.runtime import alert_options as alert_tables
from borough.runtime import options as option_tables
from borough.runtime.configuration import Configuration
from borough.testing import start
from tests.docs import options
from tests.docs.pages import DOCS, write_cafe, write_files

REFERENCE = DOCS / "reference"


@final
class GuestService(Service, name="guests"):
    """Has the table of which the SQLite page speaks, with one visit that has not been."""

    db: Database

    async def open(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute("create table visits (guest text, at text)")
            await tx.execute("insert into visits values ('bob', null)")


def test_the_table_of_options_is_that_of_the_code() -> None:
    assert options.PAGE.read_text(encoding="utf-8") == options.page(), (
        "make it anew: python -m tests.docs.options"
    )


def test_every_option_has_a_sentence() -> None:
    kinds = [getattr(room, name) for room in (option_tables, alert_tables) for name in room.__all__]
    for cls in kinds:
        said = options.sentences(cls)
        tables = {
            "system",
            "teams",
            "services",
            "external",
            "edge",
            "internal",
            "limits",
            "data",
            "events",
            "fleet",
            "topologies",
            "tls",
            "tokens",
            "discovery",
            "postgres",
            "rabbitmq",
            "kafka",
            "push",
            "grpc",
            "telemetry",
            "console",
            "alerts",
            "mail",
            "objectives",
        }
        assert set(cls.__struct_fields__) - set(said) <= tables


def test_the_settings_of_the_configuration_page_are_read_as_it_says(tmp_path: Path) -> None:
    write_files(REFERENCE / "configuration.md", tmp_path)
    kind: type[Any] = runpy.run_path(str(tmp_path / "settings_sample.py"))["MailSettings"]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mail").write_text("hunter2\n", encoding="utf-8")
    configuration = Configuration.load(tmp_path, {"BOROUGH_MAIL_RETRIES": "5"})
    settings: Any = configuration.settings("mail", kind)
    assert (settings.host, settings.retries) == ("mail.example", 5)
    assert settings.password.reveal() == "hunter2"


async def test_a_column_that_may_be_null_is_read_as_the_sqlite_page_says(tmp_path: Path) -> None:
    write_files(REFERENCE / "sqlite.md", tmp_path)
    last_visit: Any = runpy.run_path(str(tmp_path / "nullable_sample.py"))["last_visit"]
    async with start(System([GuestService])) as running:
        db = running.database("guests")
        assert await last_visit(db, "ann") is None
        assert await db.maybe(str, "select guest from visits") == "bob"
        with pytest.raises(StoreError, match="Expected `datetime`, got `null`"):
            await db.maybe(datetime, "select at from visits where guest = 'bob'")


def test_the_tests_of_the_testing_page_pass(tmp_path: Path) -> None:
    write_cafe(tmp_path)
    (tmp_path / "cafe" / "test_cafe.py").unlink()  # the tutorial's own
    assert len(write_files(REFERENCE / "testing.md", tmp_path)) == 4
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-o", "asyncio_mode=auto"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
