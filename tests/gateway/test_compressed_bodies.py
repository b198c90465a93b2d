"""A compressed body is refused with the remedy, except where an operation says that it reads the coding."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Protocol, final

import pytest

from borough import ANYONE, Header, Service, System, Upload, contract, post
from borough.gateway.edge import Edge
from borough.gateway.process import Process
from tests.gateway.library import Seen, request

PACKED = gzip.compress(b'{"text":"hello"}')


@contract("box", version="1.0")
class Box(Protocol):
    """Takes what it is given."""

    @post("/notes", allow=ANYONE)
    async def note(self, text: str) -> str: ...

    @post("/files", allow=ANYONE)
    async def keep(self, content: Upload) -> int: ...

    @post("/packed", allow=ANYONE)
    async def unpack(
        self,
        content: Upload,
        coding: Annotated[str, Header("Content-Encoding")] = "identity",
    ) -> str: ...


@final
class BoxService(Service, Box):
    async def note(self, text: str) -> str:
        return text

    async def keep(self, content: bytes) -> int:
        return len(content)

    async def unpack(self, content: bytes, coding: str = "identity") -> str:
        return (gzip.decompress(content) if coding == "gzip" else content).decode()


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    process = Process(System([BoxService]), data_folder=tmp_path)
    await process.start()
    yield process.make_edge()
    await process.stop()


async def asked(edge: Edge, path: str, coding: str, body: bytes = PACKED) -> Seen:
    asking = request("POST", path, {"Content-Encoding": coding}, body)
    return await Seen.of(await edge.answer(asking))


@pytest.mark.parametrize("path", ["/box/notes", "/box/files"])
async def test_a_compressed_body_is_refused_with_the_remedy(edge: Edge, path: str) -> None:
    seen = await asked(edge, path, "GZIP")
    assert seen.status == 415
    assert b"in the coding gzip; send it as it is, without Content-Encoding" in seen.body


async def test_a_body_that_says_it_is_not_compressed_is_read(edge: Edge) -> None:
    seen = await asked(edge, "/box/notes", "identity", b'{"text":"hello"}')
    assert (seen.status, seen.body) == (200, b'"hello"')


async def test_an_operation_that_reads_the_coding_gets_the_body_as_it_came(edge: Edge) -> None:
    seen = await asked(edge, "/box/packed", "gzip")
    assert (seen.status, seen.body) == (200, b'"{\\"text\\":\\"hello\\"}"')
