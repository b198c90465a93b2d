"""The library in a process of its own, as far as sockets go, and an edge that forwards to it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from borough.clock import SystemClock
from borough.gateway.edge import Edge, EdgeSettings
from borough.gateway.forwarded import ForwardedIdentity, InternalDoors
from borough.gateway.forwarding import Forwarding
from borough.gateway.identity import EdgeIdentity
from borough.gateway.internal import InternalIdentity, ServiceTokens, inside_limits
from borough.gateway.keys import OwnKeys
from borough.gateway.public import PublicDoor
from borough.gateway.raw import RawMount
from borough.gateway.timeouts import Timeouts
from borough.gateway.tokens import OwnIssuer, TokenCheck
from borough.ports import Replica
from borough.runtime.discovery import Directory
from borough.transports.http import wire
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.door import Door
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Request, Response
from tests.gateway.library import routes
from tests.transports.http.listening import TEXT, Answer, Service

SERVICES = ("library", "payments")
"""Of the second there is no replica."""


class Street:
    """A fleet of one service. `issuer` signs tokens that its edge takes."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        self.keys = OwnKeys(folder / "keys", self.clock)
        self.issuer = OwnIssuer("library", self.keys, self.clock, longest_lifetime_s=3600)
        self.tokens = ServiceTokens(folder / "tokens", self.clock)
        self.tokens.open(["readers", wire.EDGE])
        self.edges = self.tokens
        self.identity = EdgeIdentity(TokenCheck([self.issuer.issuer()], self.clock))
        self.directory = Directory()
        self.edge: Service
        self.inside: Service
        self.public: PublicDoor

    def move_edge(self, folder: Path) -> None:
        """Have the edge prove itself by tokens of another data folder."""
        self.edges = ServiceTokens(folder, self.clock)
        self.edges.open([wire.EDGE])

    def doors(self, raws: Sequence[RawMount] = (), proxies: Sequence[str] = ()) -> InternalDoors:
        """The internal listener's answer, as a process has it."""
        identity = InternalIdentity(self.tokens, {"readers": {"library.Library"}}, self.identity)
        door = Door(routes(self.clock), identity, self.clock, strict=False)
        self.public = PublicDoor(
            routes(self.clock), ForwardedIdentity(), self.clock, raws=raws, proxies=proxies
        )
        return InternalDoors(self.tokens.caller, door, self.public, _nothing)

    def client(self) -> HttpClient:
        """What the edge reaches services with."""
        return HttpClient(first_headers=self.edges.first_headers(wire.EDGE))

    async def ask(self, request: bytes) -> bytes:
        """Send a request to the edge, its `Host` and end apart, and read until it closes."""
        return await self.edge.exchange(
            request + b"Host: shop.example\r\nConnection: close\r\n\r\n"
        )


async def _nothing(_: Request) -> None:
    return None


@asynccontextmanager
async def street(
    folder: Path,
    answer: Answer | None = None,
    *,
    raws: Sequence[RawMount] = (),
    settings: EdgeSettings | None = None,
    timeouts: Timeouts | None = None,
    elsewhere: bool = False,
    **limits: Any,
) -> AsyncGenerator[Street]:
    """An open street; `answer` stands in for the whole internal listener.

    `elsewhere`: its edge has another data folder.
    """
    found = Street(folder)
    if elsewhere:
        found.move_edge(folder / "elsewhere")
    async with AsyncExitStack() as stack:
        own = ServerLimits()
        bounds = msgspec.structs.asdict(inside_limits(own.body_bytes, own.held_bytes))
        proxies = () if settings is None else settings.proxies
        found.inside = await Service.open(answer or found.doors(raws, proxies).answer, **bounds)
        stack.push_async_callback(found.inside.server.close)
        found.directory.update({"library": [Replica("library.1", *found.inside.origin)]})
        dependencies = Dependencies(found.directory, found.client, found.clock, caller=wire.EDGE)
        forwarding = Forwarding(
            SERVICES, dependencies, found.identity, found.clock, timeouts=timeouts
        )
        stack.push_async_callback(forwarding.close)
        edge = Edge(forwarding, found.identity, found.clock, settings)
        found.edge = await Service.open(edge.answer, **limits)
        stack.push_async_callback(found.edge.server.close)
        yield found


def body_of(answer: bytes) -> Any:
    """The document of an answer."""
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def status_of(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ")[1])


class Recording:
    """An internal listener that writes down what it is asked."""

    def __init__(self, response: Response | None = None) -> None:
        self.asked: list[Request] = []
        self._response = response or Response(200, TEXT, b"well")

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        return self._response

    @property
    def fields(self) -> dict[str, str]:
        """The fields of the last request."""
        return dict(self.asked[-1].headers.items())
