"""What the payments service promises."""

from enum import Enum
from typing import Annotated, Protocol

from borough import Event, Key, Meta, Problem, Struct, contract, post

Card = Annotated[str, Meta(pattern=r"^[0-9]{12,19}$", examples=["4242424242424242"])]


class Money(Struct):
    """An amount in the smallest unit of its currency."""

    cents: Annotated[int, Meta(ge=0, examples=[4990])]
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$")] = "EUR"


class PaymentState(Enum):
    """How far a payment has come."""

    PENDING = "pending"
    CAPTURED = "captured"
    FAILED = "failed"
    REFUNDED = "refunded"


class Payment(Struct):
    """The payment of an order; `reason` says why it failed."""

    order_id: str
    state: PaymentState
    amount: Money
    reason: str = ""


class CardDeclined(Problem, status=402):
    """The issuer refused the card."""

    reason: str


class OutcomeUnknown(Problem, status=502):
    """The issuer has not answered. PaymentCaptured or PaymentFailed will tell what happened."""


class NotCaptured(Problem, status=409):
    """There is no captured payment for this order."""


class PaymentCaptured(Event):
    """The card was charged."""

    order_id: Key[str]
    amount: Money


class PaymentFailed(Event):
    """The card was not charged, and will not be for this order."""

    order_id: Key[str]
    reason: str


class PaymentRefunded(Event):
    """The money was given back."""

    order_id: Key[str]
    amount: Money


@contract("payments", version="1.0", publishes=[PaymentCaptured, PaymentFailed, PaymentRefunded])
class Payments(Protocol):
    """Charges a card once per order, and gives the money back."""

    @post("/charges", idempotent_by="order_id", raises=[CardDeclined, OutcomeUnknown])
    async def charge(self, order_id: str, amount: Money, card: Card) -> Payment:
        """Charge a card, once per order. After a decline the order stays unpaid for good."""
        ...

    @post("/charges/{order_id}/settle")
    async def settle(self, order_id: str) -> Payment:
        """What became of a charge. One that never began is closed: it will be refused."""
        ...

    @post("/refunds", idempotent_by="order_id", raises=[NotCaptured, OutcomeUnknown])
    async def refund(self, order_id: str) -> Payment:
        """Give back what was charged for an order, once."""
        ...
