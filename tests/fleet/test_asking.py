"""A question by HTTP is answered, or it is said why not, whatever a program makes of it."""

from __future__ import annotations

import asyncio

import pytest

from borough.fleet.asking import ask

HOST = "127.0.0.1"


async def asked(
    answer: bytes, *, is_kept_open: bool, within_s: float = 60.0
) -> tuple[int, bytes, str]:
    """What comes of it where somebody answers so."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if is_kept_open:
            await over.wait()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as server:
        found = await ask(HOST, server.sockets[0].getsockname()[1], "/", within_s, None)
        over.set()
    return found


@pytest.mark.parametrize(
    ("answer", "is_kept_open", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, 204, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", False, 200, b"to the end"),
        (b"HTTP/1.0 503 No\n\n", False, 503, b""),
    ],
)
async def test_an_answer_ends_where_its_head_says_or_with_its_connection(
    answer: bytes, is_kept_open: bool, status: int, body: bytes
) -> None:
    found = await asked(answer, is_kept_open=is_kept_open)
    assert found == (status, body, f"the answer is {status}")


async def test_a_head_counts_though_its_body_does_not_end() -> None:
    found = await asked(b"HTTP/1.1 200 OK\r\n\r\n", is_kept_open=True, within_s=2.0)
    assert found == (200, b"", "the answer is 200")


@pytest.mark.parametrize(
    ("answer", "is_kept_open", "sentence"),
    [
        (b"", True, "no answer came within 0.2 s"),
        (b"", False, "the connection ended without an answer"),
        (b"SSH-2.0\r\n\r\n", False, "what came is no HTTP"),
        (b"HTTP/1.1 " + b"9" * 5000 + b"\r\n\r\n", False, "what came is no HTTP"),
    ],
)
async def test_why_there_is_no_answer_is_said(
    answer: bytes, is_kept_open: bool, sentence: str
) -> None:
    assert await asked(
        answer, is_kept_open=is_kept_open, within_s=0.2 if is_kept_open else 60.0
    ) == (0, b"", sentence)


async def test_that_nobody_listens_is_said() -> None:
    async with await asyncio.start_server(lambda *_: None, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
    assert (await ask(HOST, port, "/", 60.0, None)).sentence == "nobody listens there"
