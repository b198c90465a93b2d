"""`borough events rebuild`: a projection is made anew, while its service runs or not."""

import json
from pathlib import Path

import pytest

from tests.cli.systems import write_system
from tests.cli.terminal import running
from tests.cli.test_events import LISTENER, borough, post

PROJECTION = {
    **LISTENER,
    "readers/service.py": """
        from typing import final
        from borough import Database, Service, Transaction, projection
        from {package}.notes.contract import Noted
        from {package}.readers.contract import Readers

        @final
        class ReaderService(Service, Readers):
            db: Database

            async def read(self) -> tuple[int, ...]:
                return tuple(await self.db.all(int, "select id from read order by id"))

            @projection(Noted, tables=["read"])
            async def notes(self, event: Noted, tx: Transaction) -> None:
                await tx.execute("insert into read (id) values ($1)", event.id)
        """,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_system(tmp_path, "mirrors", files=PROJECTION)


def test_a_projection_is_made_anew_beside_the_running_service(root: Path) -> None:
    status, _, error = borough(root, "rebuild", "readers.notes")
    assert (status, "readers has no database yet" in error) == (2, True)
    with running(root, "--set", "events.lease_s=0.5") as ran:
        for text in ("one", "two"):
            assert post(ran, "/notes/notes", {"text": text}) == 201
        status, output, _ = borough(root, "rebuild", "readers.notes")
        assert status == 0
        assert output.startswith("readers.notes begins generation 2; a running service")
        assert post(ran, "/notes/notes", {"text": "three"}) == 201
        found: object = None
        for _ in range(40):  # each look starts a process: a poll that waits long enough by itself
            found = ran.request("/readers/readers")
            if found == (200, [1, 2, 3]):
                break
            borough(root, "dead")
        assert found == (200, [1, 2, 3])
    status, output, _ = borough(root, "rebuild", "readers.notes", "--json")
    assert (status, json.loads(output)) == (0, {"projection": "readers.notes", "generation": 3})
    with running(root) as ran:
        for _ in range(40):
            found = ran.request("/readers/readers")
            if found == (200, [1, 2, 3]):
                break
            borough(root, "dead")
        assert found == (200, [1, 2, 3])


def test_what_is_no_projection_is_told(root: Path) -> None:
    for name in ("readers.remember", "readers", "nobody.x"):
        status, _, error = borough(root, "rebuild", name)
        assert status == 2
        assert f"there is no projection {name}; projections are readers.notes" in error
