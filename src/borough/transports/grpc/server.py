"""The gRPC server: listens, limits, sweeps and drains. What a call means is the door's.

HTTP/2 is httpunk's: its frames, flow control and defence against resets. Here a request becomes a call,
an answer a message with trailers; a call whose caller has left is cancelled, and so its handler.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as tls

from borough.errors import ConfigurationError
from borough.transports.grpc.connection import GrpcConnection
from borough.transports.grpc.door import GrpcDoor
from borough.transports.grpc.limits import GrpcLimits
from borough.transports.grpc.offer import Offer
from borough.transports.http.bounds import Bounds
from borough.transports.http.intake import Handshaking, Intake
from borough.transports.http.leaving import ask_the_silent
from borough.transports.http.server import keep_unsent_here, why_no_listener

__all__ = ["GrpcServer"]

_log = logging.getLogger("borough.grpc")
_SWEEP_S = 1.0
_GOODBYE_S = 1.0
"""How long the end of TLS is waited for: grpcio does not tell it."""
_HEARD_S = 1.0
"""How long it may take until a client has heard that the server ends, at most twice that."""
_CANCEL_S = 5.0
"""A handler that was cancelled may clean up that long before closing goes on without it."""


class GrpcServer:
    """One listener. `requests`: how many calls have come; `failures`: how many ended by our fault.

    `now` is the loop's time as of the last sweep, for times that may be coarse.
    """

    def __init__(self, door: GrpcDoor, offer: Offer, limits: GrpcLimits, bounds: Bounds) -> None:
        """`bounds`: what it bears together with a listener of HTTP."""
        self.door = door
        self.offer = offer
        self.limits = limits
        self.bounds = bounds
        self.taken = {name.encode(): name for name in door.taken}
        self.port = 0
        self.requests = 0
        self.failures = 0
        self.now = 0.0
        self._connections: set[GrpcConnection] = set()
        self._server: asyncio.Server | None = None
        self._intake: Intake | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def open(self, host: str, port: int, ssl: tls.SSLContext | None = None) -> None:
        """Listen; port 0 takes a free one. Raises `ConfigurationError` where that cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: GrpcConnection(self),
                host,
                port,
                backlog=self.limits.backlog,
                start_serving=False,  # it is known here before it listens, and so can be ended
            )
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(why_no_listener(host, port, error)) from error
        for listener in self._server.sockets:
            keep_unsent_here(listener)
            ask_the_silent(listener)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweep()
        try:
            if ssl is None:
                await self._server.start_serving()
            else:
                how = Handshaking(ssl, self.bounds, self.limits.handshake_s, _GOODBYE_S)
                self._intake = Intake(loop, self._server.sockets, lambda: GrpcConnection(self), how)
                self._intake.serve(self.limits.backlog)
        except OSError as error:
            raise ConfigurationError(why_no_listener(host, port, error)) from error

    async def drain(self, seconds: float) -> None:
        """Say that it serves no more, take no new call, and end what has not ended within `seconds`.
        Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        self.offer.health.end()
        server.close()
        if self._intake is not None:
            await self._intake.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(each.graceful_shutdown() for each in self._connections))
        await self._ended(seconds)
        stopping = [asyncio.ensure_future(each.stop()) for each in self._connections]
        if stopping:
            _, deaf = await asyncio.wait(stopping, timeout=_CANCEL_S)
            for task in deaf:
                _log.error("a call goes on although it was cancelled")
                task.cancel()
        await server.wait_closed()

    async def _ended(self, seconds: float) -> None:
        """Wait until every connection has ended, at most `seconds`.

        One without a call whose client does not even say that it has heard of the end is not waited for.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        waiting = {asyncio.ensure_future(each.wait_closed()): each for each in self._connections}
        unused: set[GrpcConnection] = set()
        while waiting and (left_s := until - loop.time()) > 0:
            ended, _ = await asyncio.wait(waiting, timeout=min(left_s, _HEARD_S))
            for task in ended:
                del waiting[task]
            quiet = {each for each in waiting.values() if not each.calls}
            for each in quiet & unused:
                each.close()  # type: ignore[no-untyped-call]
            unused = quiet
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # --- connections call ------------------------------------------------------------------------

    def admit(self, connection: GrpcConnection, peer: str) -> str | None:
        """Count a new connection in, and say under which name; None where there are too many."""
        client = None if self._server is None else self.bounds.admit(peer)
        if not isinstance(client, str):
            return None
        self._connections.add(connection)
        return client

    def dismiss(self, connection: GrpcConnection, client: str | None) -> None:
        """Forget a connection that is gone; `client` is what it was admitted as, if it was."""
        self._connections.discard(connection)
        self.bounds.holding.release(connection)
        if client is not None:
            self.bounds.dismiss(client)

    def _sweep(self) -> None:
        """Renew the time, look at every connection, and come again."""
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        for connection in list(self._connections):
            connection.check(self.now)
        self._sweeper = loop.call_later(_SWEEP_S, self._sweep)
