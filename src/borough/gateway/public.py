"""What the public may reach of the services of one process: public operations and raw applications.

An edge in the same process stands before it; in a fleet, the internal listener does, for the edge
that forwards. Only public operations have a route here; an internal one is as absent as one that
never existed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from borough.clock import Clock
from borough.errors import MethodNotAllowed, NotFound
from borough.gateway.identity import PublicIdentity
from borough.gateway.raw import RawApp, RawLimits, RawMount
from borough.gateway.segments import Handler, Segments, failed, first_segment
from borough.gateway.timeouts import Timeouts
from borough.telemetry.recorder import Recorder
from borough.transports.http.addresses import Proxies
from borough.transports.http.door import Door, Route
from borough.transports.http.message import Request, Response

__all__ = ["PublicDoor"]


class PublicDoor:
    """Answers what comes from outside, for whom `identity` says that it comes."""

    def __init__(
        self,
        routes: Iterable[Route],
        identity: PublicIdentity,
        clock: Clock,
        *,
        raws: Sequence[RawMount] = (),
        timeouts: Timeouts | None = None,
        recorder: Recorder | None = None,
        raw_limits: RawLimits | None = None,
        proxies: Sequence[str] = (),
    ) -> None:
        """`proxies`: networks whose word about who is behind them raw applications are given."""
        timeouts = timeouts or Timeouts()
        public = [route for route in routes if route.callee.operation.public]
        self.door = Door(
            public,
            identity,
            clock,
            strict=True,
            default_timeout_s=timeouts.default_s,
            longest_timeout_s=timeouts.longest_s,
            recorder=recorder,
        )
        believed = Proxies(proxies)
        self._raws = [
            RawApp(raw, identity, clock, timeouts, recorder, raw_limits, believed) for raw in raws
        ]
        self._segments = Segments(self.door.answer)
        for route in public:
            self._segments.put(first_segment(route.callee.operation.path), self.door.answer)
        self._segments.mount({raw.mount.path: self._after_operations(raw) for raw in self._raws})
        self.request_headers: Sequence[str] | None = [
            parameter.wire_name
            for route in public
            for parameter in route.callee.operation.parameters
            if parameter.place == "header"
        ]

    def handlers(self) -> Iterator[tuple[str, Handler]]:
        """What answers, by first segment."""
        return self._segments.items()

    def _after_operations(self, raw: RawApp) -> Handler:
        """The raw application, save for paths where an operation stands: those win."""

        async def answer(request: Request) -> Response:
            try:
                self.door.router.find(request.method, request.path)
            except NotFound:
                return await raw.answer(request)
            except MethodNotAllowed:
                pass
            return await self.door.answer(request)

        return answer

    async def answer(self, request: Request) -> Response:
        """The response to a request, whatever happens."""
        try:
            return await self._segments.handler_of(request.path)(request)
        except Exception as error:
            return failed(request, error)

    async def close(self) -> None:
        """End what raw applications have left running. Idempotent."""
        for raw in self._raws:
            await raw.close()
