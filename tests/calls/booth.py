"""A small public system for tests of what travels over HTTP, and a client that shows every byte."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Protocol, final

import msgspec

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    USER,
    Clock,
    Cookie,
    Database,
    Event,
    Header,
    Instant,
    Meta,
    Problem,
    Reply,
    Service,
    Struct,
    System,
    TokenIssuer,
    Upload,
    contract,
    current_call,
    delete,
    get,
    on,
    post,
)


class Item(Struct):
    name: str
    count: Annotated[int, Meta(ge=0)] = 1
    weight: float = 0.0
    price: Decimal = Decimal(0)


class Order(Struct):
    items: tuple[Item, ...] = ()
    by_shelf: Mapping[str, Item] = {}
    note: str | None = None


class TooFar(Problem, status=409):
    """It went too far."""

    number: int


class Noticed(Event):
    number: int


@contract("booth", version="1.2", publishes=[Noticed])
class Booth(Protocol):
    """What the public reaches."""

    @post("/orders", allow=ANYONE, status=201)
    async def order(self, order: Order) -> int: ...

    @post("/sums", allow=ANYONE)
    async def add(self, one: int, two: int = 0) -> int: ...

    @post("/blanks", allow=ANYONE)
    async def blank(self, note: str = "nothing", more: str = "") -> str: ...

    @post("/files", allow=ANYONE)
    async def file(self, content: Upload) -> int: ...

    @get("/items/{item}", allow=ANYONE)
    async def look(
        self,
        item: int,
        limit: int = 10,
        weight: float = 0.0,
        sizes: tuple[int, ...] = (),
        short: bool = False,
        price: Decimal = Decimal(0),
    ) -> str: ...

    @delete("/items/{item}", allow=ANYONE, status=204)
    async def drop(self, item: int) -> None: ...

    @get("/page", allow=ANYONE)
    async def page(
        self,
        language: Annotated[str, Header("X-Language")] = "en",
        seat: Annotated[str, Cookie("seat")] = "",
    ) -> Reply[str]: ...

    @get("/count/{until}", allow=ANYONE, raises=[TooFar])
    def count(self, until: int) -> AsyncIterator[int]: ...

    @get("/left", allow=ANYONE)
    async def left_ms(self) -> int: ...

    @get("/hop", allow=ANYONE)
    async def hop(self) -> tuple[int, int]: ...

    @get("/wait", allow=ANYONE)
    async def wait(self) -> None: ...

    @get("/moment", allow=ANYONE)
    async def moment(self) -> Instant: ...

    @get("/old", allow=ANYONE, deprecated="use /page")
    async def old(self) -> str: ...

    @post("/notices", allow=ANYONE)
    async def notice(self, number: int) -> str: ...

    @get("/traces", allow=ANYONE)
    async def traces(self) -> tuple[str, ...]: ...

    @post("/paid", allow=USER, idempotent_by=IDEMPOTENCY_KEY)
    async def pay(self, cents: int) -> int: ...

    @get("/me", allow=USER)
    async def me(self) -> str: ...

    @post("/logins/{name}", allow=ANYONE)
    async def login(self, name: str) -> str: ...

    @get("/inside")
    async def inside(self) -> str: ...


@contract("yard", version="1.0")
class Yard(Protocol):
    """What only the booth reaches."""

    @get("/left")
    async def left_ms(self) -> int: ...

    @post("/items")
    async def keep(self, item: Item) -> str: ...


def _left_ms(clock: Clock) -> int:
    return round((current_call().deadline - clock.monotonic()) * 1000)


@final
class BoothService(Service, Booth):
    db: Database
    yard: Yard
    clock: Clock
    tokens: TokenIssuer

    async def open(self) -> None:
        self.closed_stream = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.unused_ms = 0  # of the call that was cancelled last
        self.waits = 0
        self.heard: list[str] = []
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists paid (cents integer)")

    async def order(self, order: Order) -> int:
        return len(order.items) + len(order.by_shelf)

    async def add(self, one: int, two: int = 0) -> int:
        return one + two

    async def blank(self, note: str = "nothing", more: str = "") -> str:
        return note

    async def file(self, content: Upload) -> int:
        return len(content)

    async def look(
        self,
        item: int,
        limit: int = 10,
        weight: float = 0.0,
        sizes: tuple[int, ...] = (),
        short: bool = False,
        price: Decimal = Decimal(0),
    ) -> str:
        return f"{item} {limit} {weight} {sizes} {short}"

    async def drop(self, item: int) -> None:
        return None

    async def page(self, language: str = "en", seat: str = "") -> Reply[str]:
        cookies = {"seat": seat} if seat else {}
        return Reply(value=f"page {language}", etag="7,", cookies=cookies)

    async def count(self, until: int) -> AsyncIterator[int]:
        try:
            for number in range(until):
                if number == 3 and until == 4:
                    raise TooFar(number=3)
                if number == 3 and until == 5:
                    raise RuntimeError("an inside")
                yield number
        finally:
            self.closed_stream.set()

    async def left_ms(self) -> int:
        return _left_ms(self.clock)

    async def hop(self) -> tuple[int, int]:
        inner = await self.yard.left_ms()
        return _left_ms(self.clock), inner

    async def wait(self) -> None:
        self.waits += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.unused_ms = _left_ms(self.clock)
            self.cancelled.set()

    async def moment(self) -> Instant:
        return datetime(2026, 1, 1)  # which has no zone

    async def old(self) -> str:
        return "old"

    async def notice(self, number: int) -> str:
        async with self.db.transaction() as tx:
            tx.publish(Noticed(number=number))
        return _trace_id()

    @on(Noticed)
    async def noticed(self, event: Noticed) -> None:
        self.heard.append(_trace_id())

    async def traces(self) -> tuple[str, ...]:
        return tuple(self.heard)

    async def pay(self, cents: int) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into paid values ($1)", cents)
            return await tx.answer(await tx.one(int, "select count(*) from paid"))

    async def me(self) -> str:
        return current_call().user.subject

    async def login(self, name: str) -> str:
        return await self.tokens.issue(name)

    async def inside(self) -> str:
        return "inside"


@final
class YardService(Service, Yard):
    clock: Clock

    async def left_ms(self) -> int:
        await asyncio.sleep(0.005)
        return _left_ms(self.clock)

    async def keep(self, item: Item) -> str:
        return item.name


def _trace_id() -> str:
    trace = current_call().trace
    return trace.trace_id if trace is not None else ""


def booth() -> System:
    """The two services as a system."""
    return System([BoothService, YardService])


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def place(self) -> str:
        """Where a refused request is wrong: its JSON pointer, or the parameter's name."""
        first = self.value["errors"][0]
        return str(first.get("pointer") or first.get("parameter"))


def ask(
    url: str,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own; blocking. A body is JSON unless the headers differ."""
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        connection.request(method, target, body, {**kind, **(headers or {})})
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()
