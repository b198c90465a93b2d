"""What pricing promises."""

from typing import Protocol

from borough import ANYONE, Struct, contract, get, post


class Line(Struct):
    """One position of an order."""

    sku: str
    qty: int
    price: int


class Order(Struct):
    """What is to be priced."""

    order_id: str
    customer: str
    currency: str
    lines: tuple[Line, ...]
    note: str


class Total(Struct):
    """What it costs."""

    order_id: str
    currency: str
    in_cents: int


@contract("pricing", version="1.0")
class Pricing(Protocol):
    """Says what an order costs."""

    @post("/totals", allow=ANYONE)
    async def total(self, order: Order) -> Total:
        """Sum quantity times price over all lines."""
        ...

    @get("/nothing", allow=ANYONE)
    async def nothing(self) -> None:
        """Answer at once."""
        ...
