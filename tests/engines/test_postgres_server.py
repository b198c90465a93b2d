"""PostgreSQL of our own: where its data lie, and that a start that was cut short spoils nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from borough.engines.postgres import PostgresServer, postgres_is_installed
from borough.errors import ConfigurationError
from tests.requirements import require_tool

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has data outside of its folder")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One into which every account can come."""
    require_tool("PostgreSQL", postgres_is_installed())
    found = Path(tempfile.mkdtemp(prefix="borough-test-postgres-"))
    found.chmod(0o755)
    yield found
    shutil.rmtree(found)


@pytest.fixture
def closed_folder(folder: Path) -> Iterator[Path]:
    """One that only its owner can enter."""
    folder.chmod(0o700)
    yield folder
    if (folder / "data-folder").exists():
        data = Path((folder / "data-folder").read_text().strip())
        shutil.rmtree(data, ignore_errors=True)
        data.with_name(f"{data.name}.owner").unlink(missing_ok=True)


async def answer(server: PostgresServer) -> object:
    connection = await asyncpg.connect(f"{server.url}/postgres")
    try:
        return await connection.fetchval("select 1")
    finally:
        await connection.close()


async def test_what_an_interrupted_first_start_left_is_made_anew(folder: Path) -> None:
    left = folder / "data.new"
    left.mkdir()
    (left / "PG_VERSION").write_text("16\n")
    server = PostgresServer.start(folder)
    try:
        assert await answer(server) == 1
        assert not left.exists()
    finally:
        server.stop()


@as_root
def test_data_elsewhere_that_are_gone_are_not_replaced_by_none(closed_folder: Path) -> None:
    PostgresServer.start(closed_folder).stop()
    data = Path((closed_folder / "data-folder").read_text().strip())
    assert data.parent == Path("/var/lib/borough")
    away = data.rename(data.with_name(f"{data.name}.away"))
    try:
        with pytest.raises(ConfigurationError, match="bring it back, or delete"):
            PostgresServer.start(closed_folder)
    finally:
        away.rename(data)


@as_root
def test_a_place_that_is_not_of_borough_is_not_taken(closed_folder: Path) -> None:
    (closed_folder / "data-folder").write_text("/tmp/postgres-of-somebody\n")
    with pytest.raises(ConfigurationError, match="is not below /var/lib/borough"):
        PostgresServer.start(closed_folder)
