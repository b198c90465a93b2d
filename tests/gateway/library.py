"""A small contract behind an edge or an internal door, and requests to it without a network."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, final

import msgspec

from borough import (
    ANYONE,
    USER,
    Header,
    Service,
    Struct,
    contract,
    current_call,
    delete,
    get,
    post,
    scope,
)
from borough.clock import Clock
from borough.contracts.reading import read_contract
from borough.gateway.edge import Edge, EdgeSettings
from borough.gateway.identity import EdgeIdentity
from borough.gateway.keys import OwnKeys
from borough.gateway.public import PublicDoor
from borough.gateway.raw import RawLimits, RawMount
from borough.gateway.timeouts import Timeouts
from borough.gateway.tokens import OwnIssuer, TokenCheck
from borough.reliability.admission import Gate
from borough.testing.clock import ManualClock
from borough.transports.callee import Callee
from borough.transports.http.door import Route
from borough.transports.http.message import Connection, Headers, Request, Response


class Book(Struct):
    title: str


class Caller(Struct):
    """Who the handler saw."""

    service: str | None
    user: str | None
    scopes: tuple[str, ...] = ()


@contract("library", version="1.0")
class Library(Protocol):
    """Lends books."""

    @get("/who", allow=ANYONE)
    async def who(self) -> Caller: ...

    @get("/shelf", allow=USER)
    async def shelf(self) -> Caller: ...

    @post("/books", allow=scope("books:write", "books:read"))
    async def add(self, book: Book) -> Book: ...

    @get("/echo", allow=ANYONE)
    async def echo(self, tenant: Annotated[str, Header("X-Tenant")]) -> str: ...

    @get("/titles", allow=ANYONE)
    def titles(self) -> AsyncIterator[str]: ...

    @delete("/books/{title}")
    async def burn(self, title: str) -> Caller: ...


class Shelf:
    """Answers `Library`."""

    async def who(self) -> Caller:
        return caller_now()

    async def shelf(self) -> Caller:
        return caller_now()

    async def add(self, book: Book) -> Book:
        return book

    async def echo(self, tenant: str) -> str:
        return tenant

    async def titles(self) -> AsyncIterator[str]:
        for title in ("Emma", "Ulysses"):
            yield title

    async def burn(self, title: str) -> Caller:
        return caller_now()


@final
class LibraryService(Shelf, Service, Library):
    """The library as a service of a system."""


def caller_now() -> Caller:
    """The call at hand, as an answer."""
    call = current_call()
    user = call.principal
    return Caller(
        service=call.caller, user=user.subject if user else None, scopes=user.scopes if user else ()
    )


def routes(clock: Clock) -> list[Route]:
    """Every operation of the library."""
    shelf, gate = Shelf(), Gate(100)
    operations = read_contract(Library).operations.values()
    return [
        Route(Callee(each, getattr(shelf, each.name), gate, clock.monotonic)) for each in operations
    ]


class Town:
    """The library's edge, its own token issuer and a clock that stands still."""

    def __init__(
        self,
        folder: Path,
        settings: EdgeSettings | None = None,
        *,
        raws: Sequence[RawMount] = (),
        timeouts: Timeouts | None = None,
        raw_limits: RawLimits | None = None,
        **parts: Any,
    ) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.keys = OwnKeys(folder / "keys", self.clock)
        self.issuer = OwnIssuer("library", self.keys, self.clock, longest_lifetime_s=3600)
        self.identity = EdgeIdentity(TokenCheck([self.issuer.issuer()], self.clock))
        public = PublicDoor(
            routes(self.clock),
            self.identity,
            self.clock,
            raws=raws,
            timeouts=timeouts,
            raw_limits=raw_limits,
        )
        self.edge = Edge(public, self.identity, self.clock, settings, **parts)

    async def get(self, target: str, token: str | None = None, **more: Any) -> "Seen":
        """GET a target at the edge."""
        return await self.ask("GET", target, token, **more)

    async def ask(
        self,
        method: str,
        target: str,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        peer: str = "192.0.2.7",
    ) -> "Seen":
        """Send a request to the edge."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        return await Seen.of(await self.edge.answer(request(method, target, fields, body, peer)))


def request(
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    peer: str = "192.0.2.7",
    connection: Connection | None = None,
) -> Request:
    """A request as the server would hand it on."""
    path, _, query = target.partition("?")
    fields = [(name.encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    if body:
        fields.append((b"Content-Type", b"application/json"))
    return Request(
        method, path, query, Headers.of(fields), body, connection or Connection((peer, 4711))
    )


class Seen:
    """A response, its body whole."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.fields = headers
        self.headers = Headers.of(headers)
        self.body = body

    @classmethod
    async def of(cls, response: Response) -> "Seen":
        body = response.body
        if not isinstance(body, bytes):
            body = b"".join([chunk async for chunk in body])
        return cls(response.status, list(response.headers), body)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def detail(self) -> str:
        detail: str = self.json["detail"]
        return detail
