"""A service's raw ASGI application behind the edge: what no contract can say, permitted alike.

The application finds the end user in `scope["state"]["principal"]`, and `current_call()` works.
It speaks HTTP only; the lifespan of a plain application is run by its service (runtime/applications.py),
that of any other is not run. The deadline of its call is that of an operation and covers its first chunk.
It ends with its request, save for what it does after its last byte, and what cannot be cancelled (a thread):
that is counted, and has a time of its own and a moment when the edge closes; then it is cancelled. One that waits
for its client to leave is told so, and has a moment to end what it has begun: Django's views run in tasks of
their own, which nobody else would end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from urllib.parse import unquote

import msgspec

from borough.clock import Clock
from borough.contracts.marks import Allow
from borough.errors import DeadlineExceeded, ServiceFailure, TooManyRequests, Unavailable
from borough.gateway.identity import PublicIdentity, permit
from borough.gateway.open_streams import after_it_ran
from borough.gateway.timeouts import Timeouts
from borough.runtime.lifespan import Asgi, Message
from borough.services.context import CURRENT, Call, Principal, WorkPool
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Kind, Shape
from borough.telemetry.trace import TraceContext
from borough.transports.callee import is_cancelled
from borough.transports.http.addresses import Proxies
from borough.transports.http.arriving import arriving_trace
from borough.transports.http.message import BODILESS, Request, Response
from borough.transports.http.paths import path_segments
from borough.transports.sight import failure_of

__all__ = ["Asgi", "RawApp", "RawLimits", "RawMount"]

_log = logging.getLogger("borough.gateway")
_SERVERS = frozenset(
    {b"connection", b"content-length", b"date", b"transfer-encoding", b"keep-alive"}
)
_FINAL, _LAST = 200, 599
_CHUNKS_AHEAD = 8
_AFTERMATH_S = 0.5
_PARTING_S = 0.5
_CANCELLED_S = 0.1


class RawMount(msgspec.Struct, frozen=True):
    """An ASGI application of `service` below `path` (`/orders/export`), for whom `allow` says."""

    service: str
    path: str
    allow: Allow
    app: Asgi
    pool: WorkPool | None = None


class RawLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one application may have open and left behind; before that its service's entrance counts."""

    streams: int = 1024
    """Answers that go on after their first chunk, open at once; one more is 503."""
    after_answers: int = 256
    """Requests for which it goes on after its last byte; beyond them 429."""
    after_answer_s: float = 60.0
    """How long it may do so, in seconds."""


class _Exchange:
    """One request to an application: what it sent so far, and whether the client is still there."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._has_ended = False
        self._listening = 0
        self.start: Message | None = None
        self.fields: Sequence[tuple[bytes, bytes]] = ()
        self.chunks: asyncio.Queue[tuple[bytes, bool] | BaseException] = asyncio.Queue(
            _CHUNKS_AHEAD
        )

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        self._listening += 1
        try:
            await self._gone.wait()
        finally:
            self._listening -= 1
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._gone.is_set() or self._has_ended:
            return
        # What is not of bytes fails here, where the application sends it; what it may change later is copied.
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            self.fields = [(_bytes(name).lower(), _bytes(value)) for name, value in given]
            self.start = message
        elif message["type"] == "http.response.body":
            body = _bytes(message.get("body", b""))
            self._has_ended = not message.get("more_body", False)
            await self.chunks.put((body, not self._has_ended))

    async def fail(self, failure: ServiceFailure) -> None:
        """Whoever still waits for a chunk learns that none will come; where nobody does, there may be no room."""
        if not self._gone.is_set():
            await self.chunks.put(failure)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for anything more."""
        return self._gone.is_set()

    def leave(self) -> None:
        """The answer is over, or the client is gone."""
        self._gone.set()

    async def end(self, task: asyncio.Task[None]) -> None:
        """Nobody will have the answer: end the application, unless a thread of it keeps it from ending."""
        self.leave()
        try:
            if self._listening:
                await asyncio.wait([task], timeout=_PARTING_S)
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=_CANCELLED_S)


def _bytes(given: object) -> bytes:
    """What was given as bytes, whatever holds them. Raises `TypeError` for a text, or a number of them."""
    return given if type(given) is bytes else bytes(memoryview(given))  # type: ignore[arg-type]


class _Chunks:
    """The body of a streaming answer; a class, as a generator never started runs no `finally`."""

    def __init__(
        self,
        first: bytes,
        length: int | None,
        exchange: _Exchange,
        task: asyncio.Task[None],
        ended: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """`length`: what the application has announced, if it has."""
        self._first: bytes | None = first
        self._missing = length
        self._exchange = exchange
        self._task = task
        self._ended: Callable[[asyncio.Task[None]], None] | None = ended
        self._more = True

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return self._counted(first)
        if not self._more:
            if self._missing:
                raise ServiceFailure("The application sent less than it had announced")
            raise StopAsyncIteration
        chunk = await self._exchange.chunks.get()
        if isinstance(chunk, BaseException):
            raise ServiceFailure("The application failed while it answered")
        body, self._more = chunk
        return self._counted(body)

    def _counted(self, body: bytes) -> bytes:
        if self._missing is not None:
            self._missing -= len(body)
            if self._missing < 0:
                raise ServiceFailure("The application sent more than it had announced")
        return body

    async def aclose(self) -> None:
        """Tell the application that nobody listens; end it unless it has said everything."""
        self._exchange.leave()
        ended, self._ended = self._ended, None
        if ended is None:
            return
        try:
            if self._more:
                await self._exchange.end(self._task)
        finally:
            ended(self._task)


class RawApp:
    """Answers requests by an ASGI application."""

    def __init__(
        self,
        mount: RawMount,
        identity: PublicIdentity,
        clock: Clock,
        timeouts: Timeouts,
        recorder: Recorder | None = None,
        limits: RawLimits | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        """`proxies` are believed about who is behind them, and by which scheme."""
        self.mount = mount
        self._proxies = proxies or Proxies()
        self._limits = limits or RawLimits()
        self._streams = 0
        self._left_behind = 0
        self._identity = identity
        self._clock = clock
        self._timeouts = timeouts
        self._recorder = recorder
        self._shape = Shape(mount.service, mount.path, Kind.SERVER, {"http.route": mount.path})
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request) -> Response:
        """The application's answer. Raises a `CallError` for whom it is not, where it fails, or has no room."""
        principal = await self._identity.principal(request)
        permit(self.mount.allow, principal, self.mount.path)
        if self._left_behind >= self._limits.after_answers:
            raise TooManyRequests(
                f"{self.mount.path} has too much to do after its last answers", retry_after_s=1
            )
        timeout_s = self._timeouts.of(request)
        exchange = _Exchange(request.body)
        task = self._begin(request, principal, exchange, timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                first = await exchange.chunks.get()
        except BaseException as error:
            await self._end(task, exchange)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(f"{self.mount.path} did not answer in time") from None
            raise
        start = exchange.start
        if (
            isinstance(first, BaseException)
            or start is None
            or not _is_final(start, self.mount.path)
        ):
            await self._end(task, exchange)
            raise ServiceFailure(f"{self.mount.path} failed")
        headers = [field for field in exchange.fields if field[0] not in _SERVERS]
        body, more = first
        if more:
            if self._streams >= self._limits.streams:
                await self._end(task, exchange)
                full = Unavailable(f"{self.mount.path} has too many streams open", retry_after_s=1)
                raise after_it_ran(full, request)
            self._streams += 1
            length = None if start["status"] in BODILESS else _announced(exchange.fields)
            chunks = _Chunks(body, length, exchange, task, self._stream_ended)
            return Response(start["status"], headers, chunks, length)
        exchange.leave()
        self._leave_behind(task)
        return Response(start["status"], headers, body)

    def _begin(
        self,
        request: Request,
        principal: Principal | None,
        exchange: _Exchange,
        timeout_s: float,
    ) -> asyncio.Task[None]:
        came = arriving_trace(
            request,
            self._recorder,
            self._clock.token,
            is_strange=not request.connection.is_public,
        )
        trace = came if self._recorder is None else came.child(self._recorder.new_id())
        call = Call(
            self.mount.path,
            self.mount.service,
            None,
            principal,
            self._clock.monotonic() + timeout_s,
            trace,
            pool=self.mount.pool,
        )
        context = copy_context()
        context.run(CURRENT.set, call)
        scope = _scope(request, self.mount.path, principal, self._proxies)
        task = asyncio.get_running_loop().create_task(
            self._run(scope, exchange, came, trace), context=context
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _run(
        self, scope: Message, exchange: _Exchange, came: TraceContext, own: TraceContext
    ) -> None:
        began, seen = self._clock.monotonic(), None
        try:
            await self.mount.app(scope, exchange.receive, exchange.send)
            failure = ServiceFailure("The application ended without a whole answer")
        except (GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # `sys.exit`, a group of what no task may raise
            # Frameworks that cancel within take back the count of what was cancelled from outside, too.
            is_ended = exchange.is_over or is_cancelled()
            if isinstance(error, asyncio.CancelledError) and is_ended:
                raise
            _log.exception("the application at %s failed", self.mount.path)
            failure, seen = ServiceFailure(str(error)), failure_of(error)
        finally:
            if self._recorder is not None:
                self._recorder.note(self._shape, came, began, failure=seen, trace=own)
        await exchange.fail(failure)

    async def _end(self, task: asyncio.Task[None], exchange: _Exchange) -> None:
        """Nobody will have the answer. Whoever waits is told so though a thread works on."""
        try:
            await exchange.end(task)
        finally:
            self._leave_behind(task)

    def _stream_ended(self, task: asyncio.Task[None]) -> None:
        self._streams -= 1
        self._leave_behind(task)

    def _leave_behind(self, task: asyncio.Task[None]) -> None:
        """Nothing more is said; what the application still does has its time, and is counted."""
        if task.done():
            return
        self._left_behind += 1
        timer = asyncio.get_running_loop().call_later(
            self._limits.after_answer_s, self._end_late, task
        )

        def ended(_task: asyncio.Task[None]) -> None:
            self._left_behind -= 1
            timer.cancel()

        task.add_done_callback(ended)

    def _end_late(self, task: asyncio.Task[None]) -> None:
        _log.warning(
            "the application at %s went on for %g s after its answer, and is cancelled",
            self.mount.path,
            self._limits.after_answer_s,
        )
        task.cancel()

    async def close(self) -> None:
        """Give what is still running a moment, then cancel it, and wait for its end."""
        running = set(self._running)
        if running:
            _, running = await asyncio.wait(running, timeout=_AFTERMATH_S)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)


def _announced(fields: Sequence[tuple[bytes, bytes]]) -> int | None:
    """How long the application says that its body is; what it sends is held against that."""
    said = dict(fields).get(b"content-length", b"")
    return int(said) if said.isdigit() else None


def _is_final(start: Message, path: str) -> bool:
    """Whether its status is one of an answer: a client reads on after any below 200."""
    status = start.get("status")
    if isinstance(status, int) and _FINAL <= status <= _LAST:
        return True
    _log.error(
        "the application at %s answered with the status %r, and no client reads that", path, status
    )
    return False


def _scope(request: Request, mount: str, principal: Principal | None, proxies: Proxies) -> Message:
    segments = path_segments(request.path)
    root = request.connection.root
    client, scheme = request.connection.peer, request.connection.scheme
    if client[0] in proxies:
        header = request.headers.get
        origin, hops = proxies.walked(client[0], header("x-forwarded-for") or "")
        if origin != client[0]:
            client = (origin, 0)  # as uvicorn has it: the port of who is behind is not known
        # Where each proxy adds a word, the outermost that is believed says by which scheme it was asked.
        words = (header("x-forwarded-proto") or "").split(",")
        said = words[-min(max(hops, 1), len(words))].strip().lower()
        scheme = said if said in ("http", "https") else scheme
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": scheme,
        "path": "/".join([unquote(root), *segments]),
        "raw_path": (root + request.path).encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": unquote(root) + mount,
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
        ],
        "client": client,
        "server": None,
        "state": {"principal": principal},
    }
