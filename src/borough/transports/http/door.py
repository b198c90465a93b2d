"""One listener's way from a request to an answer: route, identity, permission, call, callee, encoding.

A `Door` is what the edge and the internal listener share. They differ in the routes they have, in
`identify` (who calls, and may they) and in strictness (the edge refuses unknown fields and bodies
that do not say they are JSON).
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from borough.clock import Clock
from borough.contracts.codec import JSON, Codec, problem_document, reply_fields
from borough.contracts.marks import IDEMPOTENCY_KEY, Reply
from borough.contracts.problem import Problem
from borough.errors import (
    CallError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    ServiceFailure,
    Unauthenticated,
)
from borough.reliability.arrival import Arrival, Usual
from borough.services.context import Call, Principal, WorkPool
from borough.telemetry.masking import without_secrets_in
from borough.telemetry.recorder import Recorder
from borough.telemetry.trace import TraceContext
from borough.telemetry.waiting import Waits
from borough.transports.callee import Callee
from borough.transports.http import wire
from borough.transports.http.arriving import arriving_trace
from borough.transports.http.media import JSON_BODY, check_coding, check_media, media_of
from borough.transports.http.message import Request, Response
from borough.transports.http.router import Router

__all__ = [
    "TIME_UNREAD",
    "Door",
    "Identify",
    "Identity",
    "Route",
    "declared_response",
    "problem_response",
]

_log = logging.getLogger("borough.http")
_JSON = ((b"content-type", b"application/json"),)
_PARTIAL = (wire.PARTIAL.encode(), b"1")
_NOTHING: tuple[tuple[bytes, bytes], ...] = ()
_NDJSON = (
    (b"content-type", wire.NDJSON.encode()),
    (b"x-accel-buffering", b"no"),  # nginx keeps items until it has a page of them, unless told
)
_TURN = 64
_TAG = re.compile(r'"[^"]*"')  # which may have a comma in it
TIME_UNREAD = -1.0
"""The time of an arrival whose header cannot be read."""
_PROBLEM = (b"content-type", b"application/problem+json")
_CHALLENGE = (b"www-authenticate", b"Bearer")
_WRONG_TOKEN = (b"www-authenticate", b'Bearer error="invalid_token"')


Otherwise = Callable[[Request], Awaitable["Response | None"]]


class Identity(msgspec.Struct, frozen=True):
    """Who calls: the calling service (None at the edge) and the end user (None: nobody signed in)."""

    caller: str | None
    principal: Principal | None


class Route:
    """An operation behind a door, with its codec and what never changes in its answers."""

    __slots__ = (
        "_own_s", "callee", "codec", "contract", "headers", "is_keyed", "is_stream", "media", "name", "pool",
        "service", "status", "stores_key", "usual",
    )  # fmt: skip

    def __init__(self, callee: Callee, pool: WorkPool | None = None) -> None:
        self.callee = callee
        self.codec = Codec(callee.operation)
        self.pool = pool
        self.media = media_of(callee.operation)
        self.name = callee.operation.wire_name
        self.service = callee.operation.contract.service
        self.contract = callee.operation.contract.wire_name
        self.status = callee.operation.mark.status
        self.is_keyed = callee.operation.keyed
        self.is_stream = callee.operation.stream
        self.stores_key = callee.operation.mark.idempotent_by == IDEMPOTENCY_KEY
        deprecated = callee.operation.mark.deprecated or callee.operation.contract.mark.deprecated
        kind = _NDJSON if callee.operation.stream else _JSON
        self.headers = (*kind, (b"deprecation", b"true")) if deprecated else kind
        self.usual = Usual()
        self._own_s = callee.operation.mark.timeout_s

    def tell(self, arrival: Arrival) -> None:
        """Say which operation a call is for."""
        arrival.usual = self.usual
        own_s = self._own_s
        if own_s is not None and own_s < arrival.timeout_s:
            arrival.timeout_s = own_s


class Identify(Protocol):
    """Who is calling this operation, and may they. Raises `Unauthenticated` or `Forbidden`."""

    def __call__(self, request: Request, route: Route) -> Identity | Awaitable[Identity]: ...


class Door:
    """Answers requests. Never raises, never shows an inside."""

    def __init__(
        self,
        routes: Iterable[Route],
        identify: Identify,
        clock: Clock,
        *,
        strict: bool,
        default_timeout_s: float = 10.0,
        longest_timeout_s: float = 60.0,
        otherwise: Otherwise | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """`otherwise` is asked where no operation has the address; None means that it has not either."""
        self._otherwise = otherwise
        self._recorder = recorder
        self._waits: dict[str, Waits] = {}
        self.router: Router[Route] = Router(strict=strict)
        for route in routes:
            operation = route.callee.operation
            self.router.add(operation.mark.method, operation.path, route)
            if recorder is not None and not strict:  # a stranger's call would begin with its wait
                self._waits[route.service] = Waits(recorder, route.service, "its turn")
        self._identify = identify
        self._clock = clock
        self._strict = strict
        self._default_timeout_s = default_timeout_s
        self._longest_timeout_s = longest_timeout_s

    async def answer(self, request: Request) -> Response:
        """The response to a request, whatever happens."""
        trace: TraceContext | None = None
        route: Route | None = None
        try:
            trace = self.trace_of(request)
            route, slots = self.router.find(request.method, request.path)
            found = self._identify(request, route)
            identity = found if isinstance(found, Identity) else await found
            arguments, call = self._read(request, route, slots, identity, trace)
            if route.is_stream:
                return await self._stream(route, arguments, call)
            answer = _answer(request, route, await route.callee.run(arguments, call))
            return answer if not call.partial or self._strict else _partial(answer)
        except Problem as problem:
            return declared_response(problem, route, trace)
        except NotFound as error:
            other = None if self._otherwise is None else await self._otherwise(request)
            return problem_response(error, trace) if other is None else other
        except CallError as error:
            return problem_response(error, trace)
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
            raise
        except BaseException:  # whatever a handler has raised: somebody waits for an answer
            _log.exception("%s %s failed", request.method, request.path)
            return problem_response(ServiceFailure("The service failed"), trace)

    def _read(
        self,
        request: Request,
        route: Route,
        slots: Mapping[str, str],
        identity: Identity,
        trace: TraceContext,
    ) -> tuple[tuple[Any, ...], Call]:
        """What the request asks for. Raises `InvalidRequest`."""
        header = request.headers.get
        if self._strict and route.media is not None:
            kind = header("content-type")
            if kind != JSON_BODY or route.media != JSON_BODY:
                check_media(route.media, kind, request.body)
            if "content-encoding" in request.headers.raw:
                check_coding(route.callee.operation, header("content-encoding"))
        arguments = route.codec.read_arguments(
            slots, request.query, header, request.body, strict=self._strict
        )
        return arguments, self.call_for(request, route, arguments, identity, trace)

    def trace_of(self, request: Request) -> TraceContext:
        """The trace context that a request belongs to."""
        is_strange = self._strict and not request.connection.is_public
        return arriving_trace(request, self._recorder, self._clock.token, is_strange=is_strange)

    async def identity_for(self, request: Request, route: Route) -> Identity:
        """Who calls this operation. Raises `Unauthenticated`, or `Forbidden` where they may not."""
        found = self._identify(request, route)
        return found if isinstance(found, Identity) else await found

    def call_for(
        self,
        request: Request,
        route: Route,
        arguments: tuple[Any, ...],
        identity: Identity,
        trace: TraceContext,
    ) -> Call:
        """The call that a request is, with its deadline and its key. Raises `InvalidRequest`."""
        arrival = request.arrival
        if arrival is not None and arrival.timeout_s != TIME_UNREAD:
            deadline = arrival.came_at + arrival.timeout_s
            route.tell(arrival)
            waits = self._waits.get(route.service)
            if waits is not None and trace.parent:
                waits.note(trace, arrival.came_at, arrival.began_at)
        else:
            asked = wire.read_timeout_s(request.headers.get(wire.TIMEOUT_MS))
            deadline = self._clock.monotonic() + (
                self._default_timeout_s if asked is None else min(asked, self._longest_timeout_s)
            )
        key = None
        if route.is_keyed:
            key = wire.read_idempotency_key(request.headers.get(wire.IDEMPOTENCY_KEY))
            if not route.stores_key:
                key = _derived_key(route, arguments)
        return Call(
            route.name,
            route.service,
            identity.caller,
            identity.principal,
            deadline,
            trace,
            key,
            None,
            route.pool,
            is_remote=True,
        )

    async def _stream(self, route: Route, arguments: tuple[Any, ...], call: Call) -> Response:
        stream = route.callee.stream(arguments, call)
        # The first item decides the status: a refusal before it is an ordinary problem.
        try:
            first = await anext(stream)
        except StopAsyncIteration:
            return Response(200, route.headers, b'{"end":true}\n')
        return Response(200, route.headers, _Lines(_lines(route, first, stream, call), stream))


class _Lines:
    """The body of a stream; a class, as a generator never started runs no `finally`: to HEAD none is read."""

    def __init__(self, lines: AsyncGenerator[bytes], stream: AsyncGenerator[Any]) -> None:
        self._lines = lines
        self._stream = stream

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self._lines

    async def __anext__(self) -> bytes:
        return await anext(self._lines)

    async def aclose(self) -> None:
        """Nobody reads on: end the handler, here and now."""
        await self._lines.aclose()
        await self._stream.aclose()


async def _lines(
    route: Route, first: Any, stream: AsyncGenerator[Any], call: Call
) -> AsyncGenerator[bytes]:
    write = route.codec.write_result
    try:
        yield b'{"item":' + write(first) + b"}\n"
        count = 0
        async for item in stream:
            count += 1
            if not count % _TURN:
                await asyncio.sleep(0)  # a stream that never waits leaves others their turn
            yield b'{"item":' + write(item) + b"}\n"
        yield b'{"end":true}\n'
    except Problem as problem:
        code = route.codec.code_of(problem) or ServiceFailure.code
        document = problem_document(problem, code, call.trace.trace_id if call.trace else None)
        yield b'{"problem":' + _told(document) + b"}\n"
    except CallError as error:
        after = (
            b""
            if error.retry_after_s is None
            else b',"retry_after_s":%d' % _whole_s(error.retry_after_s)
        )
        yield b'{"problem":' + _told(_document(error, call.trace)) + after + b"}\n"
    finally:
        await stream.aclose()


def _partial(answer: Response) -> Response:
    """The answer, with a word to who asked that something below it has been recorded."""
    return Response(answer.status, (*answer.headers, _PARTIAL), answer.body)


def _derived_key(route: Route, arguments: tuple[Any, ...]) -> str:
    operation = route.callee.operation
    names = [parameter.name for parameter in operation.parameters]
    return str(arguments[names.index(operation.mark.idempotent_by or "")])


def _answer(request: Request, route: Route, result: Any) -> Response:
    status = route.status
    if isinstance(result, Reply):
        return _reply(request, route, result, status)
    body = _written(route, result)
    if body:
        return Response(status, route.headers, body)
    return Response(204 if status == 200 else status, _NOTHING, body)


def _reply(request: Request, route: Route, reply: Any, status: int) -> Response:
    headers: list[tuple[bytes, bytes]] = list(route.headers)
    try:
        fields = reply_fields(reply)
    except ServiceFailure as error:
        _log.error("%s: %s", route.name, error)
        raise
    for name, value in fields:
        terms = _cookie_terms(request) if name == "set-cookie" else ""
        headers.append((name.encode(), (value + terms).encode("latin-1")))
    if reply.etag is not None and _is_known(request, f'"{reply.etag}"'):
        return Response(304, headers[1:], b"")
    return Response(status, headers, _written(route, reply))


def _cookie_terms(request: Request) -> str:
    """Where a browser sends a cookie: what it was given by https, never in clear text.

    Whoever says the scheme, a proxy that is believed or not, says it of its own cookie.
    """
    said = f"{request.connection.scheme} {request.headers.get('x-forwarded-proto')}"
    secure = "; Secure" if "https" in said.lower() else ""
    return f"; Path=/; HttpOnly; SameSite=Lax{secure}"


def _written(route: Route, result: Any) -> bytes:
    """The body of an answer. What its contract does not promise is told to whoever runs the service, too."""
    try:
        return route.codec.write_result(result)
    except ServiceFailure as error:
        _log.error("%s", error)
        raise


def _is_known(request: Request, tag: str) -> bool:
    """Whether a reader has this state already (RFC 9110, 13.1.2: compared weakly, for GET and HEAD)."""
    asked = request.headers.get("if-none-match")
    if asked is None or request.method not in ("GET", "HEAD"):
        return False
    return tag in _TAG.findall(asked) or asked == "*"


def _document(error: CallError, trace: TraceContext | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": f"urn:borough:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
    }
    if trace is not None:
        document["trace_id"] = trace.trace_id
    if error.errors:
        document["errors"] = error.errors
    return document


def _whole_s(seconds: float) -> int:
    """As `Retry-After` has them."""
    return max(1, round(seconds))


def _told(document: dict[str, Any]) -> bytes:
    """A problem document as it is sent: a detail made of an inner error may hold a secret of ours."""
    return without_secrets_in(JSON.encode(document))


def declared_response(
    problem: Problem, route: Route | None, trace: TraceContext | None
) -> Response:
    """A problem as RFC 9457; one that the operation does not declare is a failure of the service."""
    code = route.codec.code_of(problem) if route is not None else None
    if code is None:
        return problem_response(ServiceFailure("The service failed"), trace)
    document = problem_document(problem, code, trace.trace_id if trace else None)
    # RFC 9110 (15.5.2): no 401 without a challenge, and this is the only one that there is.
    headers = (_PROBLEM, _CHALLENGE) if problem.status == 401 else (_PROBLEM,)
    return Response(problem.status, headers, _told(document))


def problem_response(error: CallError, trace: TraceContext | None = None) -> Response:
    """A `CallError` as RFC 9457."""
    headers: list[tuple[bytes, bytes]] = [_PROBLEM]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % _whole_s(error.retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode()))
    if isinstance(error, Unauthenticated):
        headers.append(_WRONG_TOKEN if error.has_token else _CHALLENGE)
    elif isinstance(error, Forbidden) and error.scopes:
        headers.append((b"www-authenticate", _insufficient(error.scopes)))
    return Response(error.status, headers, _told(_document(error, trace)))


def _insufficient(scopes: Sequence[str]) -> bytes:
    """What is asked of a token that lacks some of these (RFC 6750, 3.1)."""
    needed = " ".join(scopes).replace("\\", r"\\").replace('"', r"\"")
    return f'Bearer error="insufficient_scope", scope="{needed}"'.encode()
