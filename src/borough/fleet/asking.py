"""One question by HTTP to a program of which nothing is known, and what came of it.

Each has a connection of its own, which ends with it: a server that takes one at a time must not be held up.
HTTP/1.0 keeps the answer in one piece; one that is kept open all the same ends where its head says.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from typing import NamedTuple

__all__ = ["Answer", "ask"]

_LONGEST_BODY = 1024 * 1024
_DIGITS = 3  # of a status
_WITHOUT_BODY = (204, 304)


class Answer(NamedTuple):
    """What came of it."""

    status: int
    """0 for no answer."""
    body: bytes
    sentence: str
    """The same for people."""

    @property
    def is_fine(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300


async def ask(
    host: str, port: int, path: str, within_s: float, ssl: tls.SSLContext | None
) -> Answer:
    """GET a path. An answer of which no more than the head has come in time counts, without a body."""
    head = body = b""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=ssl)
            try:
                writer.write(
                    f"GET {path} HTTP/1.0\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode()
                )
                head = await _head(reader)
                body = await _body(reader, head)
            finally:
                writer.close()
    except TimeoutError:
        if not head:
            return _none(f"no answer came within {within_s:g} s")
    except ConnectionRefusedError:
        return _none("nobody listens there")
    except tls.SSLError as error:
        return _none(f"TLS failed ({error.reason or error})")
    except (OSError, ValueError) as error:  # a head without an end is a `ValueError`
        if not head:
            return _none(f"the connection failed ({error})")
    status = _status(head)
    if not status:
        return _none("what came is no HTTP" if head else "the connection ended without an answer")
    return Answer(status, body, f"the answer is {status}")


def _none(sentence: str) -> Answer:
    return Answer(0, b"", sentence)


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        raise ValueError("its head has no end") from error


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    left = 0 if _status(head) in _WITHOUT_BODY else min(_length(head), _LONGEST_BODY)
    body = b""
    while left > len(body) and (more := await reader.read(left - len(body))):
        body += more
    return body


def _status(head: bytes) -> int:
    words = head.split(None, 2)
    is_http = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return int(words[1]) if is_http and len(words[1]) == _DIGITS else 0


def _length(head: bytes) -> int:
    """What the head says of the body; one of which it says nothing goes to the end of the connection."""
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return int(value)
    return _LONGEST_BODY
