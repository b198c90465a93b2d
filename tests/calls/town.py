"""A small system for tests of the call path: a service that is called, and one that calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Annotated, Protocol, final

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    USER,
    Cookie,
    Database,
    Header,
    Meta,
    Problem,
    Reply,
    Service,
    Struct,
    System,
    Upload,
    contract,
    current_call,
    delete,
    get,
    in_thread,
    post,
    put,
)

MOOD: ContextVar[str] = ContextVar("mood", default="calm")


class Thing(Struct):
    name: str
    size: Annotated[int, Meta(ge=0, le=100)] = 1


class Broken(Problem, status=409):
    """It is broken."""

    part: str


class Undeclared(Problem, status=418):
    """Nobody declared this."""


class Seen(Struct):
    """What a handler sees of the call at hand."""

    operation: str
    caller: str | None
    user: str | None
    key: str | None
    trace_id: str | None
    has_deadline: bool


@contract("depot", version="1.3")
class Depot(Protocol):
    """Keeps things."""

    @post("/things", raises=[Broken])
    async def keep(self, thing: Thing) -> Thing: ...

    @get("/things/{name}", allow=ANYONE)
    async def find(
        self, name: str, limit: int = 10, tags: tuple[str, ...] = ()
    ) -> Mapping[str, str]: ...

    @put("/lists")
    async def sort(self, values: list[int]) -> list[int]: ...

    @get("/seen", allow=USER)
    async def seen(self) -> Seen: ...

    @post("/fail/{how}", raises=[Broken])
    async def fail(self, how: str) -> None: ...

    @get("/slow", timeout_s=0.05)
    async def slow(self) -> None: ...

    @get("/wait")
    async def wait(self) -> None: ...

    @get("/mood")
    async def mood(self) -> str: ...

    @get("/count/{until}")
    def count(self, until: int) -> AsyncIterator[int]: ...

    @post("/once", idempotent_by="number")
    async def once(self, number: int, note: str) -> int: ...

    @post("/paid", idempotent_by=IDEMPOTENCY_KEY, allow=USER, status=201)
    async def pay(self, cents: int) -> int: ...

    @get("/tagged", allow=ANYONE)
    async def tagged(
        self,
        source: Annotated[str, Header("X-Source")] = "none",
        seat: Annotated[str | None, Cookie("seat")] = None,
    ) -> Reply[str]: ...

    @post("/uploads/{name}")
    async def upload(self, name: str, content: Upload) -> int: ...

    @delete("/things/{name}", status=204)
    async def drop(self, name: str) -> None: ...


@final
class DepotService(Service, Depot):
    db: Database

    async def open(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.closed_stream = asyncio.Event()
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists notes (number integer, note text)")

    async def keep(self, thing: Thing) -> Thing:
        if thing.name.startswith("glass"):
            raise Broken(part="rim" + thing.name.removeprefix("glass"))
        return thing

    async def find(
        self, name: str, limit: int = 10, tags: tuple[str, ...] = ()
    ) -> Mapping[str, str]:
        return {"name": name, "limit": str(limit), "tags": "+".join(tags)}

    async def sort(self, values: list[int]) -> list[int]:
        values.sort()
        return values

    async def seen(self) -> Seen:
        call = current_call()
        user = call.principal.subject if call.principal else None
        trace = call.trace.trace_id if call.trace else None
        return Seen(
            operation=call.operation,
            caller=call.caller,
            user=user,
            key=call.key,
            trace_id=trace,
            has_deadline=call.deadline < float("inf"),
        )

    async def fail(self, how: str) -> None:
        if how == "declared":
            raise Broken(part="all")
        if how == "undeclared":
            raise Undeclared()
        raise ValueError("secret inside")

    async def slow(self) -> None:
        await self._stand()

    async def wait(self) -> None:
        await self._stand()

    async def _stand(self) -> None:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def mood(self) -> str:
        found = MOOD.get()
        MOOD.set("changed by the callee")
        return found

    async def count(self, until: int) -> AsyncIterator[int]:
        try:
            for number in range(until):
                if number == 500:
                    raise RuntimeError("too far")
                yield number
        finally:
            self.closed_stream.set()

    async def once(self, number: int, note: str) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into notes values ($1, $2)", number, note)
            total = await tx.one(int, "select count(*) from notes")
            return await tx.answer(total)

    async def pay(self, cents: int) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into notes values ($1, 'paid')", cents)
            return await tx.answer(await tx.one(int, "select count(*) from notes"))

    async def tagged(self, source: str = "none", seat: str | None = None) -> Reply[str]:
        return Reply(
            value=f"{source} {seat}", headers={"x-answer": "yes"}, cookies={"seat": "12"}, etag="v1"
        )

    async def upload(self, name: str, content: bytes) -> int:
        return await in_thread(len, content)

    async def drop(self, name: str) -> None:
        return None


@contract("desk", version="1.0")
class Desk(Protocol):
    """Asks the depot."""

    @get("/ask")
    async def ask(self) -> Seen: ...

    @post("/pass/{how}")
    async def pass_on(self, how: str) -> str: ...

    @get("/inside")
    async def inside(self) -> None: ...

    @get("/mistake")
    async def mistake(self) -> None: ...

    @post("/background", timeout_s=0.2)
    async def background(self) -> None: ...

    @get("/moods")
    async def moods(self) -> tuple[str, str]: ...


@final
class DeskService(Service, Desk):
    depot: Depot
    db: Database

    async def ask(self) -> Seen:
        return await self.depot.seen()

    async def pass_on(self, how: str) -> str:
        try:
            await self.depot.fail(how)
        except Broken as broken:
            return f"caught {broken.part}"
        return "nothing"

    async def inside(self) -> None:
        async with self.db.transaction():
            await self.depot.mood()

    async def background(self) -> None:
        self.task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await self.depot.wait()

    async def mistake(self) -> None:
        await self.depot.find("x", "many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def moods(self) -> tuple[str, str]:
        MOOD.set("mine")
        heard = await self.depot.mood()
        return heard, MOOD.get()


def town() -> System:
    """The two services as a system."""
    return System([DepotService, DeskService])
