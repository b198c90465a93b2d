"""Raw HTTP requests as data, each with where its idea comes from and what a server must make of it.

`send` is text whose characters are bytes (latin-1); `[text, count]` repeats. `answers` are the statuses
in order, `seen` what a server that echoes `METHOD PATH?QUERY BODY` has understood of the requests that it
took. `then` is how the connection is left: `closed`, `open` for a next request, or `waiting` for the rest.
Sources are RFC sections, and families of attacks ("smuggling", the parsers of llhttp, the http-garden)
whose idea was taken; the bytes are our own.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["FILES", "Vector", "vectors_of"]

FILES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.toml")))
"""The families."""


@dataclass(frozen=True)
class Vector:
    """Bytes and their verdict."""

    name: str
    source: str
    send: bytes
    answers: tuple[int, ...]
    seen: tuple[bytes, ...]
    then: Literal["closed", "open", "waiting"]


def vectors_of(file: str) -> list[Vector]:
    """The vectors of one family."""
    text = (Path(__file__).parent / f"{file}.toml").read_text(encoding="utf-8")
    return [
        Vector(
            name=found["name"],
            source=found["source"],
            send=_bytes(found["send"]),
            answers=tuple(found["answers"]),
            seen=tuple(_bytes(each) for each in found.get("seen", ())),
            then=found["then"],
        )
        for found in tomllib.loads(text)["vector"]
    ]


def _bytes(parts: Any) -> bytes:
    if isinstance(parts, str):
        return parts.encode("latin-1")
    return b"".join(
        part.encode("latin-1") if isinstance(part, str) else part[0].encode("latin-1") * part[1]
        for part in parts
    )
