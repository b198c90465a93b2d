"""What the search service promises."""

from typing import Annotated, Protocol

from borough import ANYONE, Meta, Page, Problem, Struct, contract, delete, get, post

Sku = Annotated[str, Meta(min_length=1, max_length=40, examples=["GDN-0042"])]
Quantity = Annotated[int, Meta(ge=1, le=99, examples=[2])]


class Item(Struct):
    """Something for sale. `stock` is what nobody has reserved."""

    sku: str
    name: str
    category: str
    description: str
    price_cents: int
    stock: int


class Wanted(Struct):
    """How much of an item an order asks for."""

    sku: Sku
    quantity: Quantity


class ReservedLine(Struct):
    """How much of an item is held for an order, and at which price."""

    sku: str
    name: str
    quantity: int
    price_cents: int


class Reservation(Struct):
    """What is held for an order. The prices are binding."""

    order_id: str
    lines: tuple[ReservedLine, ...]


class UnknownItem(Problem, status=404):
    """There is no item with this number."""

    sku: str


class OutOfStock(Problem, status=409):
    """There is not enough of an item left."""

    sku: str


class ReservationEnded(Problem, status=409):
    """What was held for this order has been given back, for good."""


@contract("search", version="1.0")
class Search(Protocol):
    """Finds what is for sale and holds the stock."""

    @get("/items", allow=ANYONE)
    async def find(
        self,
        q: Annotated[str, Meta(max_length=200)] = "",
        after: str | None = None,
        limit: Annotated[int, Meta(ge=1, le=100)] = 20,
    ) -> Page[Item]:
        """Items with words that begin like those of `q`, best first; without `q` all, by name."""
        ...

    @get("/items/{sku}", allow=ANYONE, raises=[UnknownItem])
    async def item(self, sku: Sku) -> Item:
        """One item."""
        ...

    @post(
        "/reservations",
        idempotent_by="order_id",
        raises=[UnknownItem, OutOfStock, ReservationEnded],
    )
    async def reserve(self, order_id: str, lines: tuple[Wanted, ...]) -> Reservation:
        """Hold all of these lines for an order, or none of them."""
        ...

    @delete("/reservations/{order_id}", status=204)
    async def release(self, order_id: str) -> None:
        """Give back what is held for an order, which cannot reserve again. May be repeated."""
        ...
