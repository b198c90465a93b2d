"""Marks that say what cannot be."""

from typing import Annotated, Any, Protocol

from borough import (
    ANYONE,
    Event,
    Header,
    Problem,
    Struct,
    contract,
    get,
    on,
    post,
    raw,
    scope,
    upcast,
)


class Item(Struct):
    sku: str


# expect-mypy: arg-type  # expect-pyright: reportArgumentType
class Gone(Problem, status="404"): ...


@contract("shop")  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
class NoVersion(Protocol): ...


@contract("shop", version=1)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
class OtherVersion(Protocol): ...


# expect-mypy: list-item  # expect-pyright: reportArgumentType
@contract("shop", version="1.0", publishes=[Item])
class NoEvent(Protocol): ...


class Operations(Protocol):
    @post("/a", raises=[ValueError])  # expect-mypy: list-item  # expect-pyright: reportArgumentType
    async def raises(self) -> None: ...

    @post("/b", allow="user")  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    async def allows(self) -> None: ...

    @get("/c", status=201)  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
    async def answers(self) -> None: ...

    @post("/d", timeout_s="5s")  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    async def waits(self) -> None: ...

    @post()  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
    async def nowhere(self) -> None: ...

    @post("/e", allow=scope(1))  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    async def scoped(self) -> None: ...

    @get("/f")
    # expect-pyright: reportArgumentType
    async def header(self, source: Annotated[str, Header(1)]) -> None: ...


class Repriced(Event, version=3):
    cents: int

    @staticmethod
    @upcast("1")  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    def _first(data: dict[str, Any]) -> dict[str, Any]:
        return data

    @staticmethod  # expect-mypy: type-var
    @upcast(2)  # expect-pyright: reportArgumentType
    def _second(data: dict[str, Any]) -> int:
        return len(data)


class Handlers:
    @on(Item)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    async def hear(self, event: Item) -> None: ...


class Hooks:
    # expect-mypy: type-var  # expect-pyright: reportArgumentType
    @raw("/hook", allow=ANYONE)
    async def hook(self, request: Item, send: Item) -> None: ...
