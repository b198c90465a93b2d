"""What the mails say. Pure: from an event to a subject and a text."""

from borough import Struct
from shop.accounts.contract import AccountOpened
from shop.orders.contract import Line, OrderCancelled, OrderPaid, OrderState

FAREWELL = "Your shop"


class Letter(Struct):
    """A mail before it has a number and a date."""

    account_id: str
    recipient: str
    subject: str
    text: str
    about: str


def welcome(event: AccountOpened) -> Letter:
    """To a new customer."""
    return Letter(
        account_id=event.account_id,
        recipient=event.email,
        subject="Welcome to the shop",
        text=_text(event.name, "your account is open. Have a look around!"),
        about=event.account_id,
    )


def receipt(event: OrderPaid) -> Letter:
    """To a customer who has paid."""
    lines = "\n".join(_row(line) for line in event.lines)
    total = f"{'Total':<30}{euros(event.total_cents):>11}"
    return Letter(
        account_id=event.buyer.account_id,
        recipient=event.buyer.email,
        subject=f"Your order {event.order_id[:8]} is paid",
        text=_text(event.buyer.name, f"thank you for your order:\n\n{lines}\n\n{total}"),
        about=event.order_id,
    )


def regret(event: OrderCancelled) -> Letter:
    """To a customer whose order has ended without a sale."""
    number = event.order_id[:8]
    if event.state is OrderState.DECLINED:
        subject = f"The payment of your order {number} did not go through"
        what = "your payment did not go through. Nothing was charged and nothing will be sent."
    else:
        subject = f"Your order {number} was cancelled"
        what = "your order was cancelled. We keep no money for it."
    reason = f"\n\nReason: {event.reason}" if event.reason else ""
    return Letter(
        account_id=event.buyer.account_id,
        recipient=event.buyer.email,
        subject=subject,
        text=_text(event.buyer.name, what + reason),
        about=event.order_id,
    )


def euros(cents: int) -> str:
    """An amount as people write it."""
    return f"{cents // 100:,}.{cents % 100:02} EUR"


def _row(line: Line) -> str:
    return f"{line.quantity:>3} x {line.name:<24}{euros(line.quantity * line.price_cents):>11}"


def _text(name: str, *paragraphs: str) -> str:
    return "\n\n".join([f"Dear {name},", *paragraphs, FAREWELL]) + "\n"
