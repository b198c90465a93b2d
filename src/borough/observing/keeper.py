"""Keeps what the processes of a system see: takes OTLP over HTTP on this machine, and writes it to the file.

The process that `borough run` starts is the keeper: the only one, or the supervisor of a fleet.
Services in other languages send to the same address. What cannot be written is refused,
and who has sent it counts it.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import apsw

from borough.clock import Clock
from borough.errors import (
    CallError,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    ServiceFailure,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from borough.observing.store import FILE, TelemetryFile
from borough.ports import Signal
from borough.transports.http.door import problem_response
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Request, Response
from borough.transports.http.server import HttpServer

__all__ = ["Keeper"]

T = TypeVar("T")
_log = logging.getLogger("borough.telemetry")
_LARGEST = 16 * 1024 * 1024
_MOST_WAITING = 16
"""Batches that may wait for the file; one more is refused, and its sender has it a while longer."""
_OWN_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PROTOBUF = "application/x-protobuf"
_SIGNALS: Mapping[str, Signal] = {
    "/v1/traces": "traces",
    "/v1/metrics": "metrics",
    "/v1/logs": "logs",
}


class Keeper:
    """The file with the door before it: a `SpanSink`."""

    def __init__(self, folder: Path, clock: Clock, most_bytes: int, port: int = 0) -> None:
        """`folder` is the data folder; `port` 0 takes a free one."""
        self._folder = folder
        self._clock = clock
        self._most_bytes = most_bytes
        self._port = port
        self._file: TelemetryFile | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="borough-telemetry")
        self._server = HttpServer(self._answer, ServerLimits(body_bytes=_LARGEST), clock)
        self._is_open = False
        self._waiting = 0

    @property
    def url(self) -> str:
        """Where OTLP is taken."""
        return f"http://127.0.0.1:{self._server.port}"

    async def open(self) -> None:
        """Open the file and the door. Raises `ConfigurationError`."""
        path = self._folder / FILE
        self._file = await self._in_thread(lambda: TelemetryFile(path, self._most_bytes))
        await self._server.open("127.0.0.1", self._port)
        self._is_open = True

    async def write(self, signal: Signal, data: bytes) -> None:
        """Keep a batch. See `SpanSink`: what the disk does not take is refused, and its sender counts it."""
        file = self._file
        if file is None:
            raise Unavailable("the store of telemetry is closed")
        at_ns = int(self._clock.epoch_s() * 1e9)
        try:
            await self._in_thread(lambda: file.write(signal, data, at_ns))
        except apsw.BusyError as error:
            raise Unavailable("the store of telemetry is held by another process") from error
        except apsw.Error as error:
            raise ServiceFailure(f"the store of telemetry cannot be written: {error}") from error

    async def _answer(self, request: Request) -> Response:
        try:
            signal = _SIGNALS.get(request.path)
            if signal is None:
                raise NotFound(f"{request.path}: there are {', '.join(_SIGNALS)}")
            if request.method != "POST":
                raise MethodNotAllowed(f"{request.path} takes POST", allowed=["POST"])
            _check_host(request)
            if self._waiting >= _MOST_WAITING:
                raise Unavailable("the store of telemetry is behind")
            self._waiting += 1
            try:
                await self.write(signal, _body(request))
            finally:
                self._waiting -= 1
        except CallError as error:
            return problem_response(error)
        return Response(200, ((b"content-type", _PROTOBUF.encode()),), b"")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Take no more, and close the file. Idempotent."""
        if self._is_open:
            self._is_open = False
            await self._server.drain(1.0)
            await self._server.close()
        file, self._file = self._file, None
        if file is not None:
            try:
                await self._in_thread(file.close)
            except apsw.Error as error:
                _log.warning("the file of telemetry was not closed in order: %s", error)
        self._thread.shutdown(wait=False)


def _check_host(request: Request) -> None:
    """Any page may name this address by a host of its own. Raises `Forbidden`."""
    name = (request.headers.get("host") or "").lower()
    if re.sub(r":[0-9]*\Z", "", name) not in _OWN_HOSTS:
        raise Forbidden(f"OTLP is taken by {', '.join(sorted(_OWN_HOSTS))} only")


def _body(request: Request) -> bytes:
    """The message, unpacked. Raises a `CallError` for what is none."""
    kind = (request.headers.get("content-type") or "").partition(";")[0].strip()
    if kind != _PROTOBUF:
        raise UnsupportedMediaType(f"OTLP is taken as {_PROTOBUF}, this is {kind or 'nothing'}")
    coding = request.headers.get("content-encoding")
    if coding in (None, "identity"):
        return request.body
    if coding != "gzip":
        raise UnsupportedMediaType(f"OTLP is taken plain or in gzip, this is {coding}")
    try:  # it may have several members, one after the other (RFC 1952, 2.2)
        with gzip.open(BytesIO(request.body)) as unpacking:
            data = unpacking.read(_LARGEST + 1)
        if not request.body:
            raise EOFError
    except EOFError:
        raise InvalidRequest("the body is no gzip: it breaks off") from None
    except (OSError, zlib.error) as error:
        raise InvalidRequest(f"the body is no gzip: {error}") from None
    if len(data) > _LARGEST:
        raise TooLarge(f"unpacked, a batch may have {_LARGEST} bytes")
    return data
