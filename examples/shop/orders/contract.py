"""What the orders service promises."""

from collections.abc import AsyncIterator
from typing import Annotated, Protocol

from borough import (
    IDEMPOTENCY_KEY,
    USER,
    Event,
    Instant,
    Key,
    Meta,
    OpenEnum,
    Page,
    Problem,
    Struct,
    contract,
    delete,
    get,
    post,
    put,
)

Card = Annotated[str, Meta(pattern=r"^[0-9]{12,19}$", examples=["4242424242424242"])]
Quantity = Annotated[int, Meta(ge=0, le=99, examples=[2])]


class OrderState(OpenEnum):
    """How far an order has come. An open enum: readers must expect states they do not know."""

    PLACED = "placed"  # taken from the basket
    RESERVED = "reserved"  # the stock is held
    PAYING = "paying"  # the card may have been charged
    PAID = "paid"
    DECLINING = "declining"  # the card was refused, the stock is on its way back
    DECLINED = "declined"
    REFUNDING = "refunding"  # cancelled after payment, the money is on its way back
    CANCELLING = "cancelling"  # no money is held, the stock is on its way back
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Line(Struct):
    """How much of an item, at which price each."""

    sku: str
    name: str
    quantity: int
    price_cents: int


class Basket(Struct):
    """What a customer has chosen so far. Prices become binding at checkout."""

    lines: tuple[Line, ...]
    total_cents: int


class Order(Struct):
    """An order. `message` says in a sentence where it stands."""

    order_id: str
    state: OrderState
    message: str
    lines: tuple[Line, ...]
    total_cents: int
    placed_at: Instant


class Progress(Struct):
    """A step in the life of an order."""

    state: OrderState
    message: str


class Buyer(Struct):
    """To whom an order belongs, as known when it was placed."""

    account_id: str
    name: str
    email: str


class BasketEmpty(Problem, status=409):
    """There is nothing in the basket."""


class UnknownItem(Problem, status=404):
    """There is no item with this number."""

    sku: str


class SoldOut(Problem, status=409):
    """There is not enough left of an item; the order was cancelled and no card was charged."""

    order_id: str
    sku: str


class PaymentDeclined(Problem, status=402):
    """The card was declined; the order has ended and nothing was charged."""

    order_id: str
    reason: str


class UnknownOrder(Problem, status=404):
    """The signed-in customer has no such order."""


class NotCancellable(Problem, status=409):
    """Only a paid order can be cancelled."""

    state: OrderState


class OrderPlaced(Event):
    """A customer has ordered; nothing is paid yet."""

    order_id: Key[str]
    account_id: str


class OrderPaid(Event):
    """An order has been paid for."""

    order_id: Key[str]
    buyer: Buyer
    lines: tuple[Line, ...]
    total_cents: int


class OrderCancelled(Event):
    """An order has ended without a sale: `state` is `declined` or `cancelled`."""

    order_id: Key[str]
    buyer: Buyer
    state: OrderState
    reason: str


@contract("orders", version="1.0", public=True, publishes=[OrderPlaced, OrderPaid, OrderCancelled])
class Orders(Protocol):
    """Takes an order from basket to paid."""

    @get("/basket", allow=USER)
    async def basket(self) -> Basket:
        """What the customer has chosen so far."""
        ...

    @put("/basket/{sku}", allow=USER, raises=[UnknownItem])
    async def put_in_basket(self, sku: str, quantity: Quantity) -> Basket:
        """Set how much of an item is in the basket; 0 takes it out."""
        ...

    @delete("/basket", allow=USER, status=204)
    async def empty_basket(self) -> None:
        """Take everything out of the basket."""
        ...

    @post(
        "/",
        allow=USER,
        status=201,
        idempotent_by=IDEMPOTENCY_KEY,
        raises=[BasketEmpty, SoldOut, PaymentDeclined],
        timeout_s=10,
    )
    async def checkout(self, card: Card) -> Order:
        """Order what is in the basket and pay for it by card.

        The order comes back `paid`, or `paying` where the card issuer has not answered: follow it
        then. A declined card is the problem PaymentDeclined. Repeating the request with the same
        key goes on with the same order.
        """
        ...

    @get("/", allow=USER)
    async def orders(
        self, after: str | None = None, limit: Annotated[int, Meta(ge=1, le=100)] = 20
    ) -> Page[Order]:
        """The customer's orders, the latest first."""
        ...

    @get("/{order_id}", allow=USER, raises=[UnknownOrder])
    async def order(self, order_id: str) -> Order:
        """One order of the customer."""
        ...

    @get("/{order_id}/progress", allow=USER, raises=[UnknownOrder])
    def follow(self, order_id: str) -> AsyncIterator[Progress]:
        """Each state of an order from now on, until it has ended."""
        ...

    @post("/{order_id}/cancel", allow=USER, raises=[UnknownOrder, NotCancellable])
    async def cancel(self, order_id: str) -> Order:
        """Cancel a paid order: the money and the stock go back. May be repeated."""
        ...
