"""A folder of static pages, served safely: nothing outside it, nothing hidden, nothing guessed.

Every answer carries an ETag and is asked for again, save for names with a content hash in them.
Small files are kept in memory as long as time and size of the file stay the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

from borough.errors import ConfigurationError, MethodNotAllowed, NotFound
from borough.transports.http.message import Request, Response
from borough.transports.http.paths import path_segments

__all__ = ["PAGE_HEADERS", "Pages", "is_current"]

_TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json", ".map": "application/json", ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml", ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm", ".svg": "image/svg+xml", ".png": "image/png",
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".avif": "image/avif", ".ico": "image/x-icon", ".woff": "font/woff", ".woff2": "font/woff2",
    ".pdf": "application/pdf", ".mp4": "video/mp4", ".webm": "video/webm", ".mp3": "audio/mpeg",
}  # fmt: skip
_HASHED = re.compile(r"[.-](?=[0-9]*[a-f])[0-9a-f]{8,}\.\w+\Z")
"""Digits alone are a date or a number of something, and its file may change."""
_KEPT_FILE = 256 * 1024
_KEPT_FILES = 64
_CHUNK = 64 * 1024

PAGE_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        b"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
"""What pages may do in a browser: their own scripts, none inside the HTML, no foreign places."""


def is_current(request: Request, tag: str) -> bool:
    """Whether the client has this version already (`If-None-Match`)."""
    asked = request.headers.get("if-none-match")
    if asked is None:
        return False
    known = [part.strip().removeprefix("W/") for part in asked.split(",")]
    return tag in known or asked.strip() == "*"


class _File:
    """A small file as it was read."""

    __slots__ = ("body", "mark", "tag")

    def __init__(self, mark: tuple[int, int], body: bytes) -> None:
        self.mark = mark
        self.body = body
        self.tag = f'"{sha256(body).hexdigest()[:32]}"'


class Pages:
    """Serves a folder by GET and HEAD; `index.html` stands for its folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigurationError(
                f"The folder of pages {folder} does not exist; create it or mend `pages`"
            )
        self._root = os.path.realpath(folder)
        self._kept: OrderedDict[str, _File] = OrderedDict()

    async def answer(self, request: Request) -> Response:
        """The file at that path. Raises `NotFound`, `MethodNotAllowed` or `InvalidRequest`."""
        segments = path_segments(request.path)
        if any(segment.startswith(".") for segment in segments):
            raise NotFound(f"There is nothing at {request.path}")
        path = os.path.join(self._root, *segments)
        status = self._status(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            if segments[-1] != "":
                return self._moved(request, path)
            path = os.path.join(path, "index.html")
            status = self._status(path)
        if status is None or not stat.S_ISREG(status.st_mode) or path.endswith("/"):
            raise NotFound(f"There is nothing at {request.path}")
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(
                f"{request.path} does not take {request.method}", allowed=["GET", "HEAD"]
            )
        return await self._file(request, path, (status.st_mtime_ns, status.st_size))

    def _status(self, path: str) -> os.stat_result | None:
        """What stands there; None for nothing, and for what leads out of the folder."""
        try:
            real = os.path.realpath(path)
            if real != self._root and not real.startswith(self._root + os.sep):
                return None
            status = os.stat(real)
        except (OSError, ValueError):
            return None
        # Only what is known to be of a page: a database or a key that strays here is not served.
        # A link is judged by both names, so that a page's name does not lend itself to a key.
        known = _suffix(path) in _TYPES and _suffix(real) in _TYPES
        if stat.S_ISREG(status.st_mode) and (not known or os.path.basename(real)[0] == "."):
            return None
        return status

    def _moved(self, request: Request, path: str) -> Response:
        if self._status(os.path.join(path, "index.html")) is None:
            raise NotFound(f"There is nothing at {request.path}")
        query = f"?{request.query}" if request.query else ""
        target = f"/{request.path.lstrip('/')}/{query}"
        return Response(308, [(b"location", target.encode("latin-1"))])

    async def _file(self, request: Request, path: str, mark: tuple[int, int]) -> Response:
        kept = self._kept.get(path)
        if kept is None or kept.mark != mark:
            if mark[1] > _KEPT_FILE:
                return await self._large(request, path, mark)
            kept = _File(mark, await asyncio.to_thread(_read, path))
            self._kept[path] = kept
            if len(self._kept) > _KEPT_FILES:
                self._kept.popitem(last=False)
        headers = _headers(path, kept.tag)
        if is_current(request, kept.tag):
            return Response(304, headers)
        return Response(200, headers, kept.body)

    async def _large(self, request: Request, path: str, mark: tuple[int, int]) -> Response:
        tag = f'"{mark[0]:x}-{mark[1]:x}"'
        headers = _headers(path, tag)
        if is_current(request, tag):
            return Response(304, headers)
        return Response(200, headers, _chunks(path))


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _headers(path: str, tag: str) -> tuple[tuple[bytes, bytes], ...]:
    kind = _TYPES[_suffix(path)]
    cached = b"public, max-age=31536000, immutable" if _HASHED.search(path) else b"no-cache"
    fields = ((b"content-type", kind.encode()), (b"cache-control", cached), (b"etag", tag.encode()))
    return (*fields, *PAGE_HEADERS)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


async def _chunks(path: str) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(open, path, "rb")
    try:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
    finally:
        file.close()
