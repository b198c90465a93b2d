"""Who calls at the internal door: services that prove themselves; they may call what they declared.

A service proves itself with the first request of a connection, by a token that lies in a folder
of this machine and only the system's processes may read. The declaration is the permission.
Without a proof only public operations answer, as at the edge. The edge of a fleet proves itself
like a service, as `edge`; what it forwards comes from the public, and reaches no more than that.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from pathlib import Path

from borough.clock import Clock
from borough.errors import CallError, ConfigurationError, Forbidden, Unauthenticated
from borough.gateway.identity import EdgeIdentity, permit
from borough.gateway.public import PublicDoor
from borough.gateway.secret_file import kept_secret
from borough.gateway.segments import Handler
from borough.runtime.host import undeclared
from borough.services.context import Principal
from borough.services.settings import Secret
from borough.transports.http import wire
from borough.transports.http.door import Door, Identity, Route, problem_response
from borough.transports.http.message import Connection, Headers, Request, Response

__all__ = ["ForwardedIdentity", "InternalDoors", "InternalIdentity", "ServiceTokens"]

_PROOF = re.compile(r"[0-9a-f]{64}\Z")


class ServiceTokens:
    """One token per service, 32 random bytes in `SERVICE.token`, made by whoever starts first."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._tokens: dict[str, bytes] = {}
        self._hidden: list[Secret] = []

    def open(self, services: Iterable[str]) -> None:
        """Have a token for each service; blocking, for the start. Raises `ConfigurationError`."""
        for service in services:
            if service in self._tokens:
                continue
            path = self._folder / f"{service}.token"
            suffix = self._clock.token(8).hex()
            text = kept_secret(path, lambda: self._clock.token(32).hex().encode(), suffix).strip()
            if not _PROOF.match(text.decode("latin-1")):
                raise ConfigurationError(
                    f"{path} is no service token; remove it, and the next start makes one"
                )
            self._tokens[service] = text
            self._hidden.append(Secret(text.decode()))

    def first_headers(self, service: str) -> tuple[tuple[bytes, bytes], ...]:
        """What `service` sends with the first request of a connection."""
        return (
            (wire.SERVICE.encode(), service.encode()),
            (wire.PROOF.encode(), self._tokens[service]),
        )

    def proves(self, service: str, proof: str) -> bool:
        """Whether this is the service's token, compared in constant time."""
        # An unknown name is compared too, so that time does not tell which services there are.
        expected = self._tokens.get(service)
        given = proof.encode("latin-1", "replace")
        return hmac.compare_digest(expected or b"0" * 64, given) and expected is not None


class InternalIdentity:
    """The internal door's `Identify`. `declared`: the contracts, by wire name, a service calls.

    It is read at each call, so whoever made it may change it.
    """

    def __init__(
        self,
        tokens: ServiceTokens,
        declared: Mapping[str, Collection[str]],
        edge: EdgeIdentity,
    ) -> None:
        self._tokens = tokens
        self._declared = declared
        self._edge = edge

    async def __call__(self, request: Request, route: Route) -> Identity:
        caller = self.caller(request)
        operation = route.callee.operation
        if caller is None:
            if not operation.public:
                raise Unauthenticated(
                    f"{operation.wire_name} is internal: the calling service must prove itself "
                    "with Borough-Service and Borough-Proof"
                )
            return await self._edge(request, route)
        contract = operation.contract
        if caller != contract.service and contract.wire_name not in self._declared.get(caller, ()):
            raise Forbidden(undeclared(caller, contract))
        return Identity(caller, wire.read_principal(request.headers.get(wire.PRINCIPAL)))

    def caller(self, request: Request) -> str | None:
        """The service that has proven itself on this connection. Raises `Unauthenticated`."""
        header, connection = request.headers.get, request.connection
        claimed = header(wire.SERVICE)
        if claimed is None or claimed == connection.caller:
            known: str | None = connection.caller
            return known
        proof = header(wire.PROOF)
        if proof is None or not self._tokens.proves(claimed, proof):
            connection.caller = None
            raise Unauthenticated(
                "Borough-Proof does not prove the service that Borough-Service names; "
                "do both processes use the same data folder?"
            )
        connection.caller = claimed
        return claimed


class InternalDoors:
    """What the internal listener answers with: one door for services, another for the edge."""

    def __init__(
        self,
        identity: InternalIdentity,
        services: Door,
        public: PublicDoor,
        hello: Callable[[Request], Awaitable[Response | None]],
    ) -> None:
        """`hello` answers what the edge asks about the process itself, None to anything else."""
        self._hello = hello
        self._identity = identity
        self._services = services
        self._public = public

    def answer(self, request: Request) -> Awaitable[Response]:
        """The response to a request, whatever happens."""
        door: Handler | None = request.connection.door
        if door is None or wire.SERVICE in request.headers.raw:
            door = self._choose(request)
        return door(request)

    def _choose(self, request: Request) -> Handler:
        """The door for who is at the other end, kept with the connection once that is proven."""
        connection = request.connection
        connection.door = None
        try:
            caller = self._identity.caller(request)
        except Unauthenticated:
            return self._services.answer  # where it is refused in its turn
        door = self._forwarded if caller == wire.EDGE else self._services.answer
        if caller is not None:
            connection.door = door
        return door

    async def _forwarded(self, request: Request) -> Response:
        try:
            self._identity.caller(request)  # what was proven may count no more
            asked = _as_asked(request)
        except CallError as error:
            return problem_response(error)
        told = await self._hello(request)
        return told if told is not None else await self._public.answer(asked)


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
    host = raw.get(wire.HOST)
    if host is None:
        del values["host"]
    else:
        values["host"] = host
    return Request(
        request.method, request.path, request.query, Headers(values), request.body, connection
    )
