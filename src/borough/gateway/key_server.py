"""The keys of an issuer as its key server gives them, within a time that counts for all of it.

The standard library reads in a thread, as it knows proxies and the CAs of the machine, and its timeout counts from
byte to byte. So whoever waits cuts the connection when the time is over, and the thread, which is this reading's
own, ends: a server that drips takes nothing away from name lookups and others who work in threads.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from borough.errors import ConfigurationError

__all__ = ["keys_at"]

_LARGEST_DOCUMENT = 256 * 1024


def keys_at(url: str, *, timeout_s: float = 5.0) -> Callable[[], Awaitable[bytes]]:
    """Reads a JWKS from a URL, whole within twice `timeout_s`.

    Raises `ConfigurationError` for clear text to another machine.
    """
    parts = urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigurationError(
            f"The keys of an issuer must come over https, not from {url!r}; "
            "anybody could change them on the way"
        )
    # One thread: while a name lookup hangs, the next reading waits for it, and no thread is added.
    threads = ThreadPoolExecutor(1, thread_name_prefix="borough-keys")

    async def read() -> bytes:
        reading = _Reading(url, timeout_s)
        work = asyncio.get_running_loop().run_in_executor(threads, reading.read)
        try:
            async with asyncio.timeout(2 * timeout_s):
                return await work
        except TimeoutError as error:
            raise TimeoutError(f"{url} did not give its keys within {2 * timeout_s:g} s") from error
        finally:
            reading.cut()

    return read


class _Reading:
    """One reading in a thread, which another thread can cut off."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._wire: socket.socket | None = None
        self._is_cut = False

    def read(self) -> bytes:
        """The document. Raises `OSError`, or `ValueError` for what cannot be a key set."""
        from http.client import HTTPConnection, HTTPException, HTTPSConnection
        from urllib.error import HTTPError
        from urllib.request import HTTPHandler, HTTPRedirectHandler, HTTPSHandler, build_opener

        reading = self

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                reading._connected(self.sock)

        class SafeConnection(HTTPSConnection, Connection):
            """Connected before the handshake, in which a server can drip, too."""

        class Handler(HTTPHandler):
            def http_open(self, req: Any) -> Any:
                return self.do_open(Connection, req)

        class SafeHandler(HTTPSHandler):
            def https_open(self, req: Any) -> Any:
                return self.do_open(SafeConnection, req)

        class NoRedirect(HTTPRedirectHandler):
            """A redirect could lead to clear text or into another network."""

            def redirect_request(
                self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
            ) -> None:
                return None

        try:
            opener = build_opener(Handler, SafeHandler, NoRedirect)
            with opener.open(self._url, timeout=self._timeout_s) as answer:
                document: bytes = answer.read(_LARGEST_DOCUMENT + 1)
        except HTTPError as error:  # it is an answer, too, with its connection
            error.close()
            raise ValueError(f"{self._url} answered {error.code}") from None
        except HTTPException as error:
            raise ValueError(f"{self._url} gave no HTTP answer: {error!r}") from None
        if len(document) > _LARGEST_DOCUMENT:
            raise ValueError(f"the key set at {self._url} is above 256 KiB")
        return document

    def _connected(self, wire: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                raise TimeoutError("the time of the reading is over")
            # A second handle of the same connection: TLS takes the first one away.
            self._wire = wire.dup()

    def cut(self) -> None:
        """End the connection where it still stands: whoever reads from it goes on at once. Idempotent."""
        with self._lock:
            self._is_cut = True
            wire, self._wire = self._wire, None
        if wire is not None:
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            wire.close()
