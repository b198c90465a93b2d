"""Who calls at the edge, and may they: a bearer token or nobody, held against `allow`.

A token that does not count is refused even where none is needed, so that nobody is taken for a
stranger by mistake. What a client says about callers or principals in other headers is never read.
"""

from __future__ import annotations

from typing import Protocol

from borough.contracts.marks import Allow
from borough.errors import Forbidden, Unauthenticated
from borough.gateway.tokens import TokenCheck
from borough.services.context import Principal
from borough.transports.http.door import Identity, Route
from borough.transports.http.message import Request

__all__ = ["EdgeIdentity", "PublicIdentity", "bearer_token", "permit"]

_NOBODY = Identity(None, None)


def bearer_token(request: Request) -> str | None:
    """The token of a request; None without `Authorization`. Raises `Unauthenticated` otherwise."""
    value = request.headers.get("authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        raise Unauthenticated("Authorization must be 'Bearer TOKEN', once")
    return token


def permit(allow: Allow, principal: Principal | None, what: str) -> None:
    """Let through whom `allow` admits. Raises `Unauthenticated`, or `Forbidden` naming scopes."""
    if allow.who == "anyone":
        return
    if principal is None:
        raise Unauthenticated(f"{what} needs a signed-in user: send 'Authorization: Bearer TOKEN'")
    if allow.scopes:
        missing = [name for name in allow.scopes if name not in principal.scopes]
        if missing:
            word = "scope" if len(missing) == 1 else "scopes"
            error = Forbidden(
                f"{what} needs the {word} {', '.join(missing)}, which the token lacks"
            )
            error.scopes = allow.scopes
            raise error


class PublicIdentity(Protocol):
    """For whom a public request speaks, and whether an operation is for them."""

    async def __call__(self, request: Request, route: Route) -> Identity:
        """See `Identify`."""
        ...

    async def principal(self, request: Request) -> Principal | None:
        """The end user; None where nobody is signed in. Raises `Unauthenticated`."""
        ...


class EdgeIdentity:
    """The edge's `PublicIdentity`."""

    def __init__(self, tokens: TokenCheck) -> None:
        self.tokens = tokens

    async def __call__(self, request: Request, route: Route) -> Identity:
        token = bearer_token(request)
        principal = None if token is None else await self._checked(token)
        operation = route.callee.operation
        allow = operation.mark.allow
        if allow is None:
            raise Forbidden(f"{operation.wire_name} is internal: only services may call it")
        permit(allow, principal, operation.wire_name)
        return _NOBODY if principal is None else Identity(None, principal)

    async def principal(self, request: Request) -> Principal | None:
        """For whom the request speaks. Raises `Unauthenticated` for a token that does not count."""
        token = bearer_token(request)
        return None if token is None else await self._checked(token)

    async def _checked(self, token: str) -> Principal:
        try:
            return self.tokens.remembered(token) or await self.tokens.principal(token)
        except Unauthenticated as error:
            error.has_token = True
            raise

    def remembered(self, request: Request) -> Principal | None:
        """The principal, where that is known without checking a signature."""
        value = request.headers.get("authorization")
        if value is None or value[:7].lower() != "bearer ":
            return None
        return self.tokens.remembered(value[7:].strip())
