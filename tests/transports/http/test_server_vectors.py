"""Every raw vector gets its verdict, however its bytes arrive."""

import asyncio
import contextlib
import json
from collections.abc import Callable

import pytest

from rigs.vectors import FILES, Vector, vectors_of
from tests.transports.http.conftest import ServeOn
from tests.transports.http.listening import PATIENCE_S, Raw, Service, echo

PROBE = b"GET /probe HTTP/1.1\r\nHost: x\r\n\r\n"
QUIET_TURNS = 10
Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    size = 1 if len(data) < 2000 else 997
    return [data[at : at + size] for at in range(0, len(data), size)]


def within_line_ends(data: bytes) -> list[bytes]:
    """Cut between each CR and what follows it."""
    parts = data.split(b"\r")
    pieces = [part + b"\r" for part in parts[:-1]] + [parts[-1]]
    return [piece for piece in pieces if piece] if len(pieces) < 500 else [data[:-1], data[-1:]]


def test_there_are_enough_vectors_and_all_differ() -> None:
    vectors = [vector for file in FILES for vector in vectors_of(file)]
    assert len(vectors) >= 500
    assert len({vector.send for vector in vectors}) == len(vectors)
    assert all(vector.source for vector in vectors)
    for file in FILES:
        names = [vector.name for vector in vectors_of(file)]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("cut", [whole, byte_by_byte, within_line_ends])
@pytest.mark.parametrize("file", FILES)
async def test_a_vector_gets_its_verdict(serve: ServeOn, file: str, cut: Cut) -> None:
    service = await serve(echo)
    wrong: list[str] = []
    for vector in vectors_of(file):
        verdict = await verdict_of(service, vector, cut)
        expected = (vector.answers, vector.seen, vector.then)
        if verdict != expected:
            wrong.append(f"{vector.name}: {verdict} instead of {expected}")
    assert not wrong, "\n".join(wrong)


async def verdict_of(
    service: Service, vector: Vector, cut: Cut
) -> tuple[tuple[int, ...], tuple[bytes, ...], str]:
    """What the server answers, what it has understood, and how it leaves the connection."""
    raw = await service.connect()
    statuses: list[int] = []
    seen: list[bytes] = []
    try:
        with contextlib.suppress(ConnectionError, RuntimeError):  # uvloop says closed by the latter
            for piece in cut(vector.send):
                await raw.send(piece)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        then = await read_all(raw, vector, statuses, seen)
        if then == "open":
            await raw.send(PROBE)
            assert (await raw.answer())[2] == b"GET /probe? ", vector.name
        return tuple(statuses), tuple(seen), then
    finally:
        await raw.close()


async def read_all(raw: Raw, vector: Vector, statuses: list[int], seen: list[bytes]) -> str:
    """Read answers until the connection is closed, or nothing more is expected and nothing comes."""
    while vector.then == "closed" or len(statuses) < len(vector.answers):
        try:
            if vector.send.startswith(b"HEAD ") and not statuses:
                async with asyncio.timeout(PATIENCE_S):
                    await raw.reader.readuntil(b"\r\n\r\n")
                statuses.append(200)
                seen.append(b"")
                continue
            status, head, body = await raw.answer()
        except asyncio.IncompleteReadError as broken:
            return "closed" if not broken.partial else f"broken off after {broken.partial!r}"
        except (ConnectionError, TimeoutError) as error:
            return repr(error)
        if status == 100:
            continue
        statuses.append(status)
        if status == 200:
            seen.append(body)
            continue
        assert b"\r\nconnection: close\r\n" in head
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        assert json.loads(body)["status"] == status
    for _ in range(QUIET_TURNS):
        await asyncio.sleep(0)
    more = raw.reader._buffer  # type: ignore[attr-defined]  # what came and was not asked for
    assert not more
    return "closed" if raw.reader.at_eof() else vector.then
