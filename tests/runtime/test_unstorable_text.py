"""What a client sends is no fault of the service, also where the database cannot store it."""

import json
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Protocol, final

import pytest

from borough import Database, Service, Struct, System, contract, get, post
from borough.engines.postgres import PostgresServer
from borough.errors import InvalidRequest, ServiceFailure
from borough.testing import Mode, Running, start
from tests.modes import IN_ONE_PROCESS
from tests.servers.postgres import postgres_server

__all__ = ["postgres_server"]

_numbers = count(1)


class Note(Struct):
    """What is kept."""

    lines: tuple[str, ...] = ()


@contract("desk", version="1.0")
class Desk(Protocol):
    """Keeps notes."""

    @post("/notes")
    async def keep(self, writer: str, note: Note) -> int: ...

    @post("/documents", idempotent_by="title")
    async def file(self, title: str, text: str) -> int: ...

    @get("/notes")
    def find(self, writer: str) -> AsyncIterator[str]: ...

    @post("/seals")
    async def seal(self, writer: str) -> int: ...


@final
class DeskService(Service, Desk):
    db: Database

    async def open(self) -> None:
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists notes (writer text, note text)")
            await tx.execute("create table if not exists files (note jsonb)")

    async def keep(self, writer: str, note: Note) -> int:
        async with self.db.transaction() as tx:
            for line in note.lines:
                await tx.execute("insert into notes values ($1, $2)", writer, line)
        return len(note.lines)

    async def file(self, title: str, text: str) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into files values ($1)", json.dumps({"text": text}))
            return await tx.answer(1)

    async def find(self, writer: str) -> AsyncIterator[str]:
        for note in await self.db.all(str, "select note from notes where writer = $1", writer):
            yield note

    async def seal(self, writer: str) -> int:
        return await self.keep(writer, Note(lines=("of its own \0",)))


@pytest.fixture(params=IN_ONE_PROCESS)
async def running(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, tmp_path: Path
) -> AsyncIterator[Running]:
    mode: Mode = request.param
    reference = tmp_path / "url"
    reference.write_text(f"{postgres_server.url}/texts{next(_numbers)}_{{service}}")
    settings = {"data.store": "postgres", "data.postgres.url": f"file:{reference}"}
    async with start(System([DeskService]), settings=settings, mode=mode) as found:
        yield found


async def test_a_request_whose_text_the_database_cannot_store_is_refused_with_its_place(
    running: Running,
) -> None:
    desk = running.client(Desk)
    with pytest.raises(InvalidRequest, match="cannot store") as caught:
        await desk.keep("ann", Note(lines=("a", "b\0")))
    assert [error["pointer"] for error in caught.value.errors] == ["#/lines/1"]
    with pytest.raises(InvalidRequest, match="cannot store"):
        await desk.file("a title", "\0")
    with pytest.raises(InvalidRequest, match="cannot store"):
        await anext(desk.find("\0"))
    assert await desk.keep("ann", Note(lines=("a",))) == 1
    assert [note async for note in desk.find("ann")] == ["a"]
    assert await desk.file("a\0title", "of an odd key") == 1


async def test_text_that_the_service_made_itself_is_its_own_failure(running: Running) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Desk).seal("ann")
