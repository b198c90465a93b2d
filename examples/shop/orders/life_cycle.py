"""The life of an order, as a table that one can read. Pure: no database, no calls.

placed --> reserved --> paying --> paid --> refunding
  |           |           |                     |
  +-----------+           v                     v
  |                   declining             cancelling <-- (abandoned before payment)
  v                       |                     |
cancelling            declined              cancelled
"""

from enum import Enum

from shop.orders.contract import OrderState


class Step(Enum):
    """What happens to an order."""

    RESERVE = "the stock is held"
    CHARGE = "the card is about to be charged"
    CAPTURE = "the card was charged"
    REFUSE = "the card was refused"
    CANCEL = "the customer wants the money back"
    REFUND = "the money was given back"
    ABANDON = "it cannot go on"
    RELEASE = "the stock was given back"


S = OrderState

NEXT: dict[tuple[OrderState, Step], OrderState] = {
    (S.PLACED, Step.RESERVE): S.RESERVED,
    (S.PLACED, Step.ABANDON): S.CANCELLING,
    (S.RESERVED, Step.CHARGE): S.PAYING,
    (S.RESERVED, Step.ABANDON): S.CANCELLING,
    (S.PAYING, Step.CAPTURE): S.PAID,
    (S.PAYING, Step.REFUSE): S.DECLINING,
    (S.DECLINING, Step.RELEASE): S.DECLINED,
    (S.PAID, Step.CANCEL): S.REFUNDING,
    (S.REFUNDING, Step.REFUND): S.CANCELLING,
    (S.CANCELLING, Step.RELEASE): S.CANCELLED,
}

AT_REST = frozenset({S.PAID, S.DECLINED, S.CANCELLED})

MESSAGES = {
    S.PLACED: "We are checking the stock.",
    S.RESERVED: "Your items are held for you.",
    S.PAYING: "The card issuer has not answered yet. We keep asking; do not pay again.",
    S.PAID: "Paid. Thank you!",
    S.DECLINING: "The payment did not go through. Nothing was charged.",
    S.DECLINED: "The payment did not go through. Nothing was charged.",
    S.REFUNDING: "Your money is on its way back.",
    S.CANCELLING: "The order is being cancelled.",
    S.CANCELLED: "The order was cancelled. No money is kept.",
    S.UNKNOWN: "",
}


def after(state: OrderState, step: Step) -> OrderState | None:
    """Where a step leads, None where it was taken before or is not possible (any more)."""
    return NEXT.get((state, step))


def message(state: OrderState, reason: str = "") -> str:
    """Where an order stands, in a sentence for its customer."""
    return f"{MESSAGES[state]} ({reason})" if reason else MESSAGES[state]
