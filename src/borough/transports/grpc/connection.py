"""One connection of a gRPC listener: each request of it becomes a call, in a task of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, cast

from google.protobuf.message import DecodeError
from httpunk import H2Server, HTTPunkError
from httpunk.asyncio import H2ServerProtocol
from httpunk.h2.server import ServerRequest

from borough.errors import CallError, DeadlineExceeded, InvalidRequest, NotFound, ServiceFailure
from borough.transports.grpc.call import GrpcCall
from borough.transports.grpc.health import HEALTH
from borough.transports.grpc.methods import Method
from borough.transports.grpc.offer import Talk
from borough.transports.grpc.statuses import Code, Failure, failure_of
from borough.transports.grpc.wire import trailers_of
from borough.transports.http.door import problem_response
from borough.transports.http.message import Connection

if TYPE_CHECKING:
    from borough.transports.grpc.server import GrpcServer

__all__ = ["GrpcConnection"]

_log = logging.getLogger("borough.grpc")
_WATCH_S = 0.02
"""How long a call runs before somebody looks whether its caller is still there."""
_QUESTION_BYTES = 16 * 1024
"""A message to health or reflection, which holds a name."""
_HEALTH = f"/{HEALTH}/"
_UNKNOWN = Failure(trailers_of(Code.UNIMPLEMENTED, "There is no such method here"))


class GrpcConnection(H2ServerProtocol):
    """Answers by the server's door and offer. `in_flight`: the calls at work; `quiet_since`: none since."""

    def __init__(self, server: GrpcServer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._listener = server
        self._connection = Connection(("", 0))
        self.in_flight = 0
        self.quiet_since = server.now
        self.reading: set[GrpcCall] = set()
        self._ending: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        if not self._listener.admit(self):
            transport.abort()
            return
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self._connection = Connection(cast("tuple[str, int]", peer[:2]))
        self._connection.certificate = transport.get_extra_info("peercert") or None
        super().connection_made(transport)  # type: ignore[no-untyped-call]

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._listener.dismiss(self)
        super().connection_lost(exc)  # type: ignore[no-untyped-call]

    async def _make_server(self) -> H2Server:
        limits = self._listener.limits
        return H2Server(
            self,
            backend=self._backend,
            max_concurrent_streams=limits.streams,
            max_header_list_size=limits.metadata_bytes,
            auto_date_header=False,
        )

    async def stop(self) -> None:
        """End it now, with what runs on it."""
        self.close()  # type: ignore[no-untyped-call]
        task = self._serve_task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def check(self, now: float) -> None:
        """Drop calls whose message does not come, and the connection where it is not used."""
        limits = self._listener.limits
        for call in [each for each in self.reading if now - each.since > limits.body_s]:
            _leave(call)
        if not self.in_flight and now - self.quiet_since > limits.keep_alive_s:
            if (
                self._ending is None
            ):  # it says so first: a call that is on its way is still answered
                self._ending = asyncio.ensure_future(self.graceful_shutdown())
            else:
                self.close()  # type: ignore[no-untyped-call]

    # --- calls -----------------------------------------------------------------------------------

    async def handle(self, request: ServerRequest) -> None:
        """Answer a request, whatever happens."""
        listener = self._listener
        listener.requests += 1
        self.in_flight += 1
        call = GrpcCall(request, self._connection, listener.now)
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
                await call.drop()
        except HTTPunkError as error:
            _log.debug("a caller has left: %s", error)
        finally:
            watch.cancel()
            if call.watching is not None:
                call.watching.cancel()
            self.in_flight -= 1
            self.quiet_since = listener.now

    async def _answered(self, call: GrpcCall, path: str) -> Failure | None:
        """Answer; returns how the call ends where that was not done."""
        offer = self._listener.offer
        try:
            method = offer.methods.get(path)
            if method is not None:
                call.read_headers(self._listener.taken)
                return await self._called(method, call)
            talk = offer.talks.get(path)
            if talk is None:
                return _UNKNOWN
            call.read_headers(self._listener.taken)
            return await self._talked(talk, call, path)
        except CallError as error:
            return failure_of(problem_response(error))
        except HTTPunkError:
            raise
        except Exception:
            _log.exception("%s failed", path)
            return failure_of(problem_response(ServiceFailure("The service failed")))

    async def _called(self, method: Method, call: GrpcCall) -> Failure | None:
        self.reading.add(call)
        try:
            data = await call.message(self._listener.limits.message_bytes)
        finally:
            self.reading.discard(call)
        door = self._listener.door
        if not method.is_stream:
            answer = await door.unary(method, data, call)
            if isinstance(answer, Failure):
                return answer
            await call.answer(answer)
            return None
        try:
            async with asyncio.timeout(call.left_s):  # of all of it: so gRPC has it
                failure = await door.stream(method, data, call)
        except TimeoutError:
            raise DeadlineExceeded(f"{method.path} did not end in time") from None
        if failure is None:
            await call.end()
        return failure

    async def _talked(self, talk: Talk, call: GrpcCall, path: str) -> Failure | None:
        body_s = self._listener.limits.body_s
        try:
            async with aclosing(cast(Any, talk(self._asked(call, path)))) as answers:
                async for message in answers:
                    async with asyncio.timeout(body_s):
                        await call.write(message)
        except NotFound as error:
            return Failure(trailers_of(Code.NOT_FOUND, error.detail))
        except DecodeError:
            raise InvalidRequest(f"The message is none that {path} takes") from None
        except TimeoutError:  # who asks reads no answers
            await call.drop()
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
    _leave(call)


def _leave(call: GrpcCall) -> None:
    """Nobody waits any more: end what runs for the call."""
    call.has_left = True
    if call.task is not None:
        call.task.cancel()
