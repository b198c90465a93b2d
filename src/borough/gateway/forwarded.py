"""What an edge has forwarded: the internal listener takes its sender, proven as `edge`, for the public.

It reaches what the public may reach, and no more. What the edge's own connection hides, it tells: for
whom the request speaks, and from which address and to which host it came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from borough.errors import CallError, Forbidden, Unauthenticated
from borough.gateway.identity import permit
from borough.gateway.public import PublicDoor
from borough.gateway.segments import Handler
from borough.services.context import Principal
from borough.transports.http import wire
from borough.transports.http.door import Door, Identity, Route, problem_response
from borough.transports.http.message import Connection, Headers, Request, Response

__all__ = ["ForwardedIdentity", "InternalDoors"]

_NOT_HERE = frozenset({401, 404, 405})
"""What services answer to who has proven nothing: an application of theirs is not among what they know."""


class InternalDoors:
    """What the internal listener answers with: one door for services, another for the edge."""

    def __init__(
        self,
        caller: Callable[[Request], str | None],
        services: Door,
        public: PublicDoor,
        hello: Callable[[Request], Awaitable[Response | None]],
    ) -> None:
        """`caller` says who has proven itself; raises `Unauthenticated`. `hello` answers what the edge
        asks about the process itself, None to anything else."""
        self._hello = hello
        self._caller = caller
        self._services = services
        self._public = public

    def answer(self, request: Request) -> Awaitable[Response]:
        """The response to a request, whatever happens."""
        door: Handler | None = request.connection.door
        if door is None or wire.SERVICE in request.headers.raw:
            door = self._choose(request)
        return door(request)

    def refused(self, request: Request, response: Response) -> Response:
        """The refusal of a request that comes to no door. The proof in it counts for the connection all
        the same: a caller sends it once."""
        if wire.SERVICE in request.headers.raw:
            self._choose(request)
        return response

    def _choose(self, request: Request) -> Handler:
        """The door for who is at the other end, kept with the connection once that is proven."""
        connection = request.connection
        connection.door = None
        try:
            caller = self._caller(request)
        except Unauthenticated as error:
            return partial(self._refused, error)
        connection.is_public = caller == wire.EDGE
        door = self._forwarded if connection.is_public else self._services.answer
        if caller is not None:
            connection.door = door
        return door

    async def _forwarded(self, request: Request) -> Response:
        try:
            self._caller(request)  # what was proven may count no more
        except Unauthenticated as error:
            return _unproven(problem_response(error))
        try:
            asked = _as_asked(request)
        except CallError as error:
            return problem_response(error)
        told = await self._hello(request)
        return told if told is not None else await self._public.answer(asked)

    async def _refused(self, error: Unauthenticated, request: Request) -> Response:
        """Where a proof does not count nothing is answered but what tells of the process itself."""
        response = await self._services.answer(request)
        return _unproven(problem_response(error)) if response.status in _NOT_HERE else response


class ForwardedIdentity:
    """The `PublicIdentity` behind an edge, which has checked the token and says who it speaks for."""

    async def __call__(self, request: Request, route: Route) -> Identity:
        principal = await self.principal(request)
        operation = route.callee.operation
        allow = operation.mark.allow
        if allow is None:
            raise Forbidden(f"{operation.wire_name} is internal: only services may call it")
        permit(allow, principal, operation.wire_name)
        return Identity(None, principal)

    async def principal(self, request: Request) -> Principal | None:
        """See `PublicIdentity`."""
        found: Principal | None = request.connection.caller
        return found


def _unproven(refused: Response) -> Response:
    """The refusal, which the edge does not take for one of the end user."""
    headers = (*refused.headers, (wire.UNPROVEN.encode(), b"1"))
    return Response(refused.status, headers, refused.body)


def _as_asked(request: Request) -> Request:
    """The request as the client sent it to the edge: its address and host, and no word of the edge's.

    The connection it seems to come by is its own, and carries for whom it speaks.
    """
    raw = request.headers.raw
    connection = Connection(wire.read_client(request.headers.get(wire.CLIENT)))
    connection.caller = wire.read_principal(request.headers.get(wire.PRINCIPAL))
    values = {
        name: value
        for name, value in raw.items()
        if not name.startswith("borough-") or name == wire.TIMEOUT_MS
    }
    hops = values.pop("x-forwarded-for", b"")
    said, _, own = hops.rpartition(b", ")
    if own != connection.peer[0].encode("latin-1"):
        said = hops  # an edge of an earlier version adds nothing
    if said:
        values["x-forwarded-for"] = said
    host = raw.get(wire.HOST)
    if host is None:
        del values["host"]
    else:
        values["host"] = host
    asked = Request(
        request.method, request.path, request.query, Headers(values), request.body, connection
    )
    asked.arrival = request.arrival
    return asked
