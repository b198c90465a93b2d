"""What stands behind the edge of a fleet: services in other processes, reached by forwarding.

The first segment of a path names the service. A request goes on as it came and the answer comes
back as it was given, for no contract is known here. What the edge alone can know is added: who the
end user is, the client's address and host; what only means one connection is taken away.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from borough.clock import Clock
from borough.contracts.unreadable import UNREADABLE
from borough.errors import (
    CallError,
    DeadlineExceeded,
    ServiceFailure,
    Unauthenticated,
    Unavailable,
)
from borough.gateway.identity import PublicIdentity
from borough.gateway.segments import Handler
from borough.gateway.timeouts import Timeouts
from borough.services.context import Principal
from borough.telemetry.plain import shortened
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span
from borough.telemetry.trace import TraceContext
from borough.transports.http import wire
from borough.transports.http.arriving import arriving_trace
from borough.transports.http.client import ClientStream, sendable
from borough.transports.http.dependency import Dependencies, Dependency, Opening, RequestKind
from borough.transports.http.door import problem_response
from borough.transports.http.message import Request, Response
from borough.transports.http.paths import refuse_odd
from borough.transports.sight import failure_of

__all__ = ["Forwarding"]

_log = logging.getLogger("borough.gateway")

Fields = Sequence[tuple[bytes, bytes]]
_HOP_BY_HOP = frozenset(
    {
        "connection", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Fields that mean one connection (RFC 9110, 7.6.1), beside those that `Connection` names."""
_NOT_ASKED = _HOP_BY_HOP | {
    "authorization", "baggage", "content-length", "expect", "forwarded", "host", "set-cookie", "traceparent",
    "tracestate", "x-forwarded-for",
}  # fmt: skip
"""What goes on elsewhere in the head, or not at all."""
_OF_PROXIES = frozenset(
    {"x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip"}
)
_NO_FIELDS: frozenset[str] = frozenset()
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_FAULT = 500
_NOT_ANSWERED = _HOP_BY_HOP | {"content-length", "date"}
_RETRY_AFTER_S = 1.0
_LONGEST_WORDS = 300
_QUIET_S = 10.0
"""How often it is logged that a service does not take this edge for one."""
_WHOLE_BYTES = 256 * 1024
"""An answer of a known length up to this is sent at once, any other as it comes."""


class Forwarding:
    """The services of a fleet, `Behind` an edge. It takes over `dependencies`, and closes them."""

    request_headers: Sequence[str] | None = None

    def __init__(
        self,
        services: Sequence[str],
        dependencies: Dependencies,
        identity: PublicIdentity,
        clock: Clock,
        timeouts: Timeouts | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        timeouts = timeouts or Timeouts()
        self._dependencies = dependencies
        self._forwarders = {
            service: _Forwarder(dependencies.of(service), identity, clock, timeouts, recorder)
            for service in services
        }

    def handlers(self) -> Iterator[tuple[str, Handler]]:
        """See `Behind`."""
        for service, forwarder in self._forwarders.items():
            yield service, forwarder.answer

    @property
    def requests(self) -> int:
        """How many requests have come for services."""
        return sum(forwarder.requests for forwarder in self._forwarders.values())

    @property
    def in_flight(self) -> int:
        """How many of them wait for the head of their answer."""
        return sum(forwarder.in_flight for forwarder in self._forwarders.values())

    async def close(self) -> None:
        """See `Behind`. Closes the connections to services."""
        await self._dependencies.close()


class _Forwarder:
    """Answers for one service by what one of its replicas answers."""

    def __init__(
        self,
        dependency: Dependency,
        identity: PublicIdentity,
        clock: Clock,
        timeouts: Timeouts,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._shapes: dict[str, Shape] = {}
        self._dependency = dependency
        self._identity = identity
        self._clock = clock
        self._timeouts = timeouts
        self.requests = 0
        self.in_flight = 0
        self._logged_at = float("-inf")

    async def answer(self, request: Request) -> Response:
        """The service's answer, or why there is none."""
        came = trace = arriving_trace(request, self._recorder, self._clock.token, is_strange=True)
        began, failure, status = self._clock.monotonic(), None, 0
        if self._recorder is not None:
            trace = came.child(self._recorder.new_id())
        self.requests += 1
        self.in_flight += 1
        try:
            answer = await self._forward(request, trace)
            status = answer.status
            return answer
        except CallError as error:
            cause = error.__cause__  # what the public is told says less
            failure = failure_of(cause if isinstance(cause, CallError) else error)
            return problem_response(error, trace)
        finally:
            self.in_flight -= 1
            if self._recorder is not None:
                self._note(self._recorder, request, came, trace, began, status, failure)

    def _note(
        self,
        recorder: Recorder,
        request: Request,
        came: TraceContext,
        trace: TraceContext,
        began: float,
        status: int,
        failure: Failure | None,
    ) -> None:
        """The span of a request that went through; a bad or late one also where it is not sampled."""
        ended = recorder.monotonic()
        if failure is None and status >= _FAULT:
            failure = Failure(str(status), "")
        is_late = ended - began >= recorder.slow_s or (failure is not None and failure.is_fault)
        is_sampled = trace.is_sampled
        if is_sampled or is_late:
            method = request.method if request.method in _METHODS else "_OTHER"
            values = (request.path, status or None)
            shape = self._shape(method)
            recorder.add(
                Span(
                    shape, trace, came.parent, began, ended, failure, values,
                    is_partial=not is_sampled,
                )
            )  # fmt: skip

    def _shape(self, method: str) -> Shape:
        found = self._shapes.get(method)
        if found is None:
            service = self._dependency.service
            found = self._shapes[method] = Shape(
                wire.EDGE,
                f"{method} /{service}",
                Kind.SERVER,
                {"http.request.method": method, "peer.service": service},
                ("url.path", "http.response.status_code"),
            )
        return found

    async def _forward(self, request: Request, trace: TraceContext) -> Response:
        refuse_odd(request.path, strict=True)
        deadline = self._clock.monotonic() + self._timeouts.of(request)
        principal = await self._identity.principal(request)
        headers = _fields_asked(request, principal, trace)
        target = f"{request.path}?{request.query}" if request.query else request.path
        # No key makes a request safe here, for the operation may look at none; who has sent one can send
        # it again. HEAD comes as GET.
        kind = RequestKind(request.method, target, request.method == "GET", "")
        answer = self._dependency.open(kind, sendable(headers), request.body, deadline)
        try:
            return await _returned(answer)
        except (DeadlineExceeded, ServiceFailure, Unavailable) as error:
            if isinstance(error, _Unproven):
                self._log_unproven(error)
            raise self._told(error) from error

    def _log_unproven(self, error: _Unproven) -> None:
        now = self._clock.monotonic()
        if now - self._logged_at >= _QUIET_S:
            self._logged_at = now
            _log.error(
                "%s takes nothing that this edge forwards: %s",
                self._dependency.service,
                error.detail,
            )

    def _told(self, error: CallError) -> CallError:
        """What the public is told: the service's name, and no address inside."""
        service = self._dependency.service
        if isinstance(error, Unavailable):
            after_s = error.retry_after_s or _RETRY_AFTER_S
            return Unavailable(f"{service} cannot take calls now", retry_after_s=after_s)
        if isinstance(error, DeadlineExceeded):
            return DeadlineExceeded(f"{service} did not answer in time")
        return ServiceFailure(f"{service} broke off without an answer; the call may have run")


def _fields_asked(request: Request, principal: Principal | None, trace: TraceContext) -> Fields:
    """The fields that go on: the client's own, without claims, and what the edge alone knows.

    What differs from request to request comes last, in the order in which `OwnHeads` reads it.
    """
    raw = request.headers.raw
    named = _named(raw["connection"]) if "connection" in raw else _NO_FIELDS
    dropped = _NOT_ASKED | named if named else _NOT_ASKED
    headers = [
        (name.encode("latin-1"), value)
        for name, value in raw.items()
        if name not in dropped and name[:8] != "borough-"
    ]
    host = raw.get("host")
    if host is not None:
        headers.append((b"borough-host", host))
    if trace.state:
        headers.append((b"tracestate", trace.state.encode("latin-1")))
    headers.append((b"traceparent", trace.traceparent.encode()))
    token, peer = raw.get("authorization"), request.connection.peer
    if token is not None and "authorization" not in named:
        headers.append((b"authorization", token))
    headers.append((b"x-forwarded-for", _hops(raw.get("x-forwarded-for"), peer[0])))
    headers.append((b"borough-client", wire.write_client(peer)))
    if principal is not None:
        headers.append((b"borough-principal", wire.write_principal(principal)))
    return headers


def _hops(said: bytes | None, address: str) -> bytes:
    """Through whom a request has come, as proxies say it: the last one is who asks the edge."""
    own = address.encode("latin-1")
    return b"%b, %b" % (said, own) if said else own


def _fields_answered(raw: Mapping[str, bytes]) -> Fields:
    """The fields that go back."""
    dropped = (
        _NOT_ANSWERED if "connection" not in raw else _NOT_ANSWERED | _named(raw["connection"])
    )
    fields = [
        (name.encode("latin-1"), value)
        for name, value in raw.items()
        if name not in dropped and name[:8] != "borough-"
    ]
    if "set-cookie" in raw:
        cookies = raw["set-cookie"].split(b"\n")
        fields = [field for field in fields if field[0] != b"set-cookie"]
        return fields + [(b"set-cookie", cookie) for cookie in cookies]
    # What says nothing but its kind recurs, and the server keeps it rendered.
    return tuple(fields) if len(fields) == 1 else fields


def _named(connection: bytes) -> frozenset[str]:
    """The fields that `Connection` names as meant for the next hop only.

    What proxies say of a client is none of them: some pass on what the client names here, which would
    then be taken for the proxy.
    """
    names = frozenset(name.strip().lower() for name in connection.decode("latin-1").split(","))
    return names - _OF_PROXIES


class _Unproven(Unavailable):
    """A service does not take this edge for the edge: who asks it can do nothing about that."""


def _detail_of(problem: bytes) -> str:
    try:
        told = str(msgspec.json.decode(problem, type=dict[str, Any])["detail"])
        return shortened(told, _LONGEST_WORDS)
    except (KeyError, *UNREADABLE):
        return "it says that this edge has not proven itself"


async def _returned(answer: Opening) -> Response:
    """The answer, whole where it is small, else as it comes."""
    stream = await answer.__aenter__()
    is_passed_on = False
    try:
        raw = stream.headers.raw
        if wire.UNPROVEN in raw and stream.status == Unauthenticated.status:
            raise _Unproven(_detail_of(await stream.read()))
        fields = _fields_answered(raw)
        if stream.status in (204, 304):
            return Response(stream.status, fields)
        length = raw.get("content-length")
        size = None if length is None else int(length)
        if size is not None and size <= _WHOLE_BYTES:
            return Response(stream.status, fields, await stream.read())
        is_passed_on = True
        return Response(stream.status, fields, _Passing(stream, answer), size)
    finally:
        if not is_passed_on:
            await answer.__aexit__()


class _Passing:
    """A body on its way through; a class, as a generator never started runs no `finally`.

    The server takes the next chunk when the client has taken the last, and so the service waits.
    """

    def __init__(self, stream: ClientStream, answer: Opening) -> None:
        self._stream = stream
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream

    async def __anext__(self) -> bytes:
        return await anext(self._stream)

    async def aclose(self) -> None:
        """Nobody listens any more: the service is told unless it has said everything."""
        await self._answer.__aexit__()
