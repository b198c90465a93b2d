"""Every declaration form of a contract, as a user writes it: clean under both checkers."""

import enum
from collections.abc import AsyncIterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    UNSET,
    USER,
    Cookie,
    Event,
    Header,
    Instant,
    Key,
    Meta,
    OpenEnum,
    Page,
    Problem,
    Reply,
    Struct,
    Unset,
    Upload,
    contract,
    delete,
    field,
    get,
    patch,
    post,
    put,
    scope,
    upcast,
)

Sku = Annotated[str, Meta(pattern=r"^[A-Z]{3}-\d{4}$", examples=["GDN-0042"])]


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class State(OpenEnum):
    PLACED = "placed"
    UNKNOWN = "unknown"


class Money(Struct):
    """An amount in the smallest unit."""

    cents: int
    currency: str = "EUR"


class Crate(Struct, tag=True):
    weight_g: int


class Bottle(Struct, tag=True):
    litres: float


class NewOrder(Struct):
    sku: Sku
    count: Annotated[int, Meta(ge=1)] = 1
    size: Size = Size.SMALL
    note: str | Unset | None = UNSET
    tags: tuple[str, ...] = ()
    labels: list[str] = field(default_factory=list[str])


class Order(NewOrder):
    """Fields are keyword-only, so a required one may follow a default."""

    order_id: str
    state: State
    price: Money
    goods: Crate | Bottle
    exact: Decimal
    id: UUID
    at: Instant
    day: date
    by_sku: Mapping[str, int]
    word: Literal["a", "b"] = "a"
    parent: "Order | None" = None


class NotFound(Problem, status=404):
    """There is no such order."""

    order_id: str


class Refused(NotFound, status=409):
    """It was refused."""

    reason: str = "closed"


class OrderPlaced(Event):
    order_id: Key[str]
    price: Money


class Repriced(Event, version=3):
    """An event that has had other forms."""

    order_id: Key[str]
    price: Money

    @staticmethod
    @upcast(1)
    def _cents(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "price": {"cents": data.pop("cents")}}

    @upcast(2)
    @staticmethod
    def _currency(data: dict[str, Any]) -> dict[str, Any]:
        data["price"]["currency"] = "EUR"
        return data


class Registered(Event):
    """Keys may have constraints, and events no key."""

    email: Annotated[str, Meta(max_length=200)]


@contract("orders", version="1.2", publishes=[OrderPlaced, Repriced, Registered])
class Orders(Protocol):
    """Takes orders."""

    @post("/", status=201, idempotent_by=IDEMPOTENCY_KEY, raises=[Refused], allow=USER)
    async def place(self, order: NewOrder) -> Order:
        """Place an order."""
        ...

    @get("/{order_id}", raises=[NotFound], allow=ANYONE)
    async def order(self, order_id: str) -> Reply[Order]: ...

    @get("/")
    async def orders(self, after: str | None = None, limit: int = 20) -> Page[Order]: ...

    @put("/{order_id}/price", idempotent_by="order_id", allow=scope("orders:write"))
    async def reprice(self, order_id: str, price: Money) -> Order: ...

    @patch("/{order_id}", timeout_s=2, deprecated="since 1.1, use reprice")
    async def change(self, order_id: str, note: str | Unset | None = UNSET) -> None: ...

    @delete("/{order_id}", status=204)
    async def cancel(self, order_id: str) -> None: ...

    @get("/{order_id}/states")
    def follow(self, order_id: str) -> AsyncIterator[State]: ...

    @put("/{order_id}/picture")
    async def picture(
        self,
        order_id: str,
        picture: Upload,
        source: Annotated[str | None, Header("X-Source")] = None,
        basket: Annotated[str, Cookie("basket")] = "",
    ) -> None: ...


class Named(Protocol):
    @get("/name")
    async def name(self) -> str: ...


@contract("orders", version="2.0", public=True, deprecated="since 2.1, use Orders 3")
class OrdersTwo(Named, Protocol):
    """A contract may inherit operations, and may be a second version beside the first."""

    @post("/", example={"order": NewOrder(sku="GDN-0042"), "return": 3}, allow=ANYONE)
    async def place(self, order: NewOrder) -> int: ...
