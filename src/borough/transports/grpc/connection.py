"""One connection of a gRPC listener: each request of it becomes a call, in a task of its own.

No timer here: the server's sweep calls `check`, which drops calls whose message does not come or whose
answer is not read, and the connection where its caller reads nothing at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext, suppress
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import DecodeError
from httpunk import H2Server, HTTPunkError
from httpunk.asyncio import H2ServerProtocol
from httpunk.h2.server import ServerRequest

from borough.errors import CallError, InvalidRequest, NotFound, ServiceFailure
from borough.transports.grpc.call import GrpcCall
from borough.transports.grpc.door import CallerLeft
from borough.transports.grpc.header_blocks import HeaderBlocks
from borough.transports.grpc.health import HEALTH
from borough.transports.grpc.methods import Method
from borough.transports.grpc.offer import Talk
from borough.transports.grpc.statuses import Code, Failure, failure_of
from borough.transports.grpc.wire import sentence_of, trailers_of
from borough.transports.http.door import problem_response
from borough.transports.http.message import Connection

if TYPE_CHECKING:
    from borough.transports.grpc.server import GrpcServer

__all__ = ["GrpcConnection"]

_log = logging.getLogger("borough.grpc")
_WATCH_S = 0.02
"""How long a call runs before somebody looks whether its caller is still there."""
_QUEUED_BYTES = 64 * 1024
"""What a call may have handed on before it is written: all of a connection's wait in one buffer."""
_AHEAD_BYTES = 4 * 1024 * 1024
"""What a caller may send while it reads nothing: its windows, which are not renewed then, and heads.
Pings and settings have no window, and each has an answer that would wait."""
_QUESTION_BYTES = 16 * 1024
"""A message to health or reflection, which holds a name."""
_HEALTH = f"/{HEALTH}/"
_CHECK = f"/{HEALTH}/Check"
"""The one talk that ends with its first answer."""
_UNKNOWN = Failure(trailers_of(Code.UNIMPLEMENTED, "There is no such method here"))


class GrpcConnection(H2ServerProtocol):
    """Answers by the server's door and offer. `quiet_since`: no call is at work since then."""

    _transport: Any

    def __init__(self, server: GrpcServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._listener = server
        self.connection = Connection(("", 0))
        self.holding = server.bounds.holding
        self.is_read = asyncio.Event()
        self.is_read.set()
        self.calls: set[GrpcCall] = set()
        self.quiet_since = server.now
        self._unread_since: float | None = None
        self._unread = self._unanswered = 0
        self._ending: asyncio.Future[None] | None = None
        self._closed_at: float | None = None
        self._client: str | None = None
        self._blocks: HeaderBlocks | None = HeaderBlocks(self.holding, self.drop)

    @property
    def now(self) -> float:
        """The loop's time as of the last sweep."""
        return self._listener.now

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.connection = Connection(cast("tuple[str, int]", peer[:2]))
        self._client = self._listener.admit(self, self.connection.peer[0])
        if self._client is None:
            transport.abort()
            return
        self.connection.certificate = transport.get_extra_info("peercert") or None
        super().connection_made(transport)  # type: ignore[no-untyped-call]
        cast("asyncio.Task[None]", self._serve_task).add_done_callback(self._forget)

    def _forget(self, _serving: object) -> None:
        """Let go of what holds this in turn, and all that was not yet written: it is not to wait for a collector."""
        self._server = self._serve_task = self._drain_waiter = None

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._listener.dismiss(self, self._client)
        if self._blocks is not None:
            self._blocks.end()
            self._blocks = None
        self._unread_since = None
        self.is_read.set()
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._unread_since is not None:
            self._unanswered += len(data)
            if self._unanswered > _AHEAD_BYTES:
                self.drop()
                return
            self.holding.hold(self, self._unread + self._unanswered)
            if self._transport.is_closing():  # of all that is held for, this was slow for longest
                return
        if self._blocks is not None and not self._bounds(self._blocks, data):
            return
        super().data_received(data)  # type: ignore[no-untyped-call]

    def _bounds(self, blocks: HeaderBlocks, data: bytes) -> bool:
        """Whether what comes before the client has taken our settings may be read."""
        if not blocks.feed(data):
            self.drop()
        if blocks.is_over:
            self._blocks = None
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._unread_since = self.now
        self._unanswered = 0
        self._unread = self._transport.get_write_buffer_size()
        self.is_read.clear()
        self.holding.hold(self, self._unread)
        super().pause_writing()  # type: ignore[no-untyped-call]

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._unread_since = None
        self.is_read.set()
        self.holding.release(self)
        super().resume_writing()  # type: ignore[no-untyped-call]

    async def _make_server(self) -> H2Server:
        limits = self._listener.limits
        return H2Server(
            self,
            backend=self._backend,
            max_concurrent_streams=limits.streams,
            max_header_list_size=limits.metadata_bytes,
            max_send_buf_size=_QUEUED_BYTES,
            auto_date_header=False,
        )

    async def stop(self) -> None:
        """End it now, with what runs on it."""
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # who has not read that until now would keep it open
        self.close()  # type: ignore[no-untyped-call]
        task = self._serve_task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def drop(self) -> None:
        """Let go at once of a connection that holds too much."""
        self._transport.abort()

    def check(self, now: float) -> None:
        """Drop calls that are too slow, and the connection where it is, or is not used."""
        limits = self._listener.limits
        for call in list(self.calls):
            call.check(now, limits)
        if self._unread_since is not None:
            if self._is_read_slowly(now - self._unread_since):
                self.drop()
        elif self._closed_at is not None:
            if now - self._closed_at > limits.write_idle_s:
                self.drop()
        elif not self.calls and now - self.quiet_since > limits.keep_alive_s:
            if (
                self._ending is None
            ):  # it says so first: a call that is on its way is still answered
                self._ending = asyncio.ensure_future(self.graceful_shutdown())
            else:
                self._closed_at = now
                self.close()  # type: ignore[no-untyped-call]

    def _is_read_slowly(self, elapsed: float) -> bool:
        limits = self._listener.limits
        was_read = self._unread - self._transport.get_write_buffer_size()
        return elapsed > limits.write_idle_s and was_read < elapsed * limits.write_bytes_per_s

    # --- calls -----------------------------------------------------------------------------------

    async def handle(self, request: ServerRequest) -> None:
        """Answer a request, whatever happens."""
        listener = self._listener
        listener.requests += 1
        call = GrpcCall(request, self)
        self.calls.add(call)
        watch = self._loop.call_later(_WATCH_S, _watch, call)
        try:
            failure = await self._answered(call, request.path or "")
            if failure is not None:
                listener.failures += failure.is_ours
                await call.end(failure)
        except asyncio.CancelledError:
            if not call.has_left or call.task is None:
                raise
            call.task.uncancel()
            with suppress(HTTPunkError):
                await call.reset()
        except (CallerLeft, HTTPunkError) as error:
            _log.debug("a caller has left: %s", error)
        finally:
            watch.cancel()
            if call.watching is not None:
                call.watching.cancel()
            self.calls.discard(call)
            self.quiet_since = listener.now

    async def _answered(self, call: GrpcCall, path: str) -> Failure | None:
        """Answer; returns how the call ends where that was not done."""
        listener, offer = self._listener, self._listener.offer
        try:
            method = offer.methods.get(path)
            if method is not None:
                call.read_headers(listener.taken, listener.limits.metadata_bytes)
                return await self._called(method, call)
            talk = offer.talks.get(path)
            if talk is None:
                return _UNKNOWN
            call.read_headers(listener.taken, listener.limits.metadata_bytes)
            return await self._talked(talk, call, path)
        except CallError as error:
            return failure_of(problem_response(error))
        except (CallerLeft, HTTPunkError):
            raise
        except Exception:
            _log.exception("%s failed", path)
            return failure_of(problem_response(ServiceFailure("The service failed")))

    async def _called(self, method: Method, call: GrpcCall) -> Failure | None:
        door, most = self._listener.door, self._listener.limits.message_bytes
        if not method.is_stream:
            answer = await door.unary(method, await call.message(most), call)
            if isinstance(answer, Failure):
                return answer
            await call.answer(answer)
            return None
        failure = await door.stream(method, await call.message(most), call)
        if failure is None:
            await call.end()
        return failure

    async def _talked(self, talk: Talk, call: GrpcCall, path: str) -> Failure | None:
        door, body_s = self._listener.door, self._listener.limits.body_s
        try:
            with nullcontext() if path == _CHECK else door.streaming(path, call):
                async with aclosing(cast(Any, talk(self._asked(call, path)))) as answers:
                    async for message in answers:
                        async with asyncio.timeout(body_s):
                            await call.write(message)
        except NotFound as error:
            return Failure(trailers_of(Code.NOT_FOUND, sentence_of(error.detail)))
        except DecodeError:
            raise InvalidRequest(f"The message is none that {path} takes") from None
        except TimeoutError:  # who asks reads no answers
            await call.reset()
            return None
        await call.end()
        return None

    async def _asked(self, call: GrpcCall, path: str) -> AsyncGenerator[bytes]:
        """What a caller asks in a talk, within the limits of everybody."""
        limits = self._listener.limits
        most = min(limits.message_bytes, _QUESTION_BYTES)
        async with aclosing(call.messages(most, limits.body_s, limits.keep_alive_s)) as messages:
            async for message in messages:
                if not path.startswith(_HEALTH):  # probes are not counted by HTTP, either
                    self._listener.door.check_rate(path, call)
                yield message


def _watch(call: GrpcCall) -> None:
    """Look from now on whether the caller is still there: not worth it for a short call."""
    call.watching = asyncio.ensure_future(_wait_for_leaving(call))


async def _wait_for_leaving(call: GrpcCall) -> None:
    with suppress(HTTPunkError):
        await call.left()
    call.drop()
