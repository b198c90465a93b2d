"""What must be true of the evidence once all is quiet: one rule, one sentence, one function.

A rule yields what breaks it. `lost` means that something promised or done is missing somewhere,
`doubled` that something happened twice. Pure: rows in, words out.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from shop.demo.evidence import Evidence, OrderRow

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

SOLD = "paid"
ENDED_UNSOLD = frozenset({"declined", "cancelled"})
AT_REST = ENDED_UNSOLD | {SOLD}
GIVEN_BACK = frozenset({"refunding", "cancelling", "cancelled"})

HEARD_BY = {
    "AccountOpened": ("notifications.say_welcome",),
    "OrderPaid": ("notifications.send_receipt",),
    "OrderCancelled": ("notifications.send_regret",),
    "PaymentCaptured": ("orders.mark_paid",),
    "PaymentFailed": ("orders.mark_declined",),
    "PaymentRefunded": ("orders.mark_refunded",),
}
"""Which handlers hear an event. Who adds one to the shop adds it here, or the demo test fails."""

ONCE_PER_KEY = frozenset({"OrderPlaced", *HEARD_BY})
MAILED = frozenset({"AccountOpened", "OrderPaid", "OrderCancelled"})


class Rule(NamedTuple):
    """One thing that must be true. `kind` is `lost` or `doubled`."""

    name: str
    kind: str
    sentence: str
    broken_by: Callable[[Evidence], Iterable[str]]


class Breach(NamedTuple):
    """A rule that does not hold, and what breaks it."""

    rule: Rule
    what: str

    def __str__(self) -> str:
        return f"{self.rule.kind}: {self.rule.name}: {self.what} ({self.rule.sentence})"


def judge(evidence: Evidence) -> list[Breach]:
    """Everything that is lost or doubled."""
    return [Breach(rule, what) for rule in RULES for what in rule.broken_by(evidence)]


# --- what a customer was told -------------------------------------------------------------------


def _unknown_accounts(found: Evidence) -> Iterator[str]:
    known = set(found.accounts)
    for answer in found.answers:
        if answer.what == "account" and answer.account_id not in known:
            yield f"account {answer.account_id}"


def _unknown_orders(found: Evidence) -> Iterator[str]:
    owners = {order.order_id: order.account_id for order in found.orders}
    for answer in found.answers:
        is_told = answer.what in ("checkout", "order", "cancelled")
        if is_told and owners.get(answer.order_id) != answer.account_id:
            yield f"order {answer.order_id} of account {answer.account_id}"


def _changed_outcomes(found: Evidence) -> Iterator[str]:
    states = {order.order_id: order.state for order in found.orders}
    regretted = {answer.order_id for answer in found.answers if answer.what == "cancelled"}
    for order_id in sorted(regretted):
        if states.get(order_id, "cancelled") not in GIVEN_BACK:
            yield f"order {order_id}, told cancelled, is {states[order_id]}"
    # Who asked to cancel and got no answer, as the shop was killed, may find either outcome.
    asked = {answer.order_id for answer in found.answers if answer.what == "cancelling"}
    told = {(a.order_id, a.state) for a in found.answers if a.state in AT_REST}
    for order_id, state in sorted(told):
        now = states.get(order_id, state)
        may_change = order_id in regretted or (order_id in asked and now in GIVEN_BACK)
        if now != state and not may_change:
            yield f"order {order_id}, told {state}, is {states[order_id]}"


def _changed_amounts(found: Evidence) -> Iterator[str]:
    cents = {order.order_id: order.cents for order in found.orders}
    for answer in found.answers:
        if answer.state == SOLD and cents.get(answer.order_id, answer.cents) != answer.cents:
            order_id = answer.order_id
            yield f"order {order_id}, told {answer.cents}, costs {cents[order_id]} cents"


def _unknown_mails(found: Evidence) -> Iterator[str]:
    known = {mail.mail_id for mail in found.mails}
    for answer in found.answers:
        if answer.what == "mail" and answer.mail_id not in known:
            yield f"mail {answer.mail_id}"


def _second_orders(found: Evidence) -> Iterator[str]:
    orders: dict[tuple[str, str], set[str]] = {}
    for answer in found.answers:
        if answer.what == "checkout":
            orders.setdefault((answer.account_id, answer.key), set()).add(answer.order_id)
    for (_, key), order_ids in orders.items():
        if len(order_ids) > 1:
            yield f"key {key} has the orders {', '.join(sorted(order_ids))}"


# --- money --------------------------------------------------------------------------------------


def _unpaid_sales(found: Evidence) -> Iterator[str]:
    captured = {p.order_id: p.cents for p in found.payments if p.state == "captured"}
    for order in _sold(found):
        if captured.get(order.order_id) != order.cents:
            yield f"order {order.order_id} over {order.cents} cents"


def _uncharged_bookings(found: Evidence) -> Iterator[str]:
    charges = {(e.order_id, e.charge_id, e.cents) for e in found.issuer if e.did == "charged"}
    for booking in found.bookings:
        if (booking.order_id, booking.issuer_id, booking.cents) not in charges:
            yield f"{booking.entry} of order {booking.order_id}"


def _unbooked_payments(found: Evidence) -> Iterator[str]:
    booked = {(b.order_id, b.entry, b.cents) for b in found.bookings}
    for payment in found.payments:
        wanted = {"captured": ["capture"], "refunded": ["capture", "refund"]}
        for entry in wanted.get(payment.state, []):
            if (payment.order_id, entry, payment.cents) not in booked:
                yield f"{entry} of order {payment.order_id}"


def _money_for_nothing(found: Evidence) -> Iterator[str]:
    sold = {order.order_id for order in _sold(found)}
    refunded = {entry.order_id for entry in found.issuer if entry.did == "refunded"}
    for entry in found.issuer:
        if entry.did == "charged" and entry.order_id not in sold | refunded:
            yield f"order {entry.order_id}: {entry.cents} cents"


def _sales_given_back(found: Evidence) -> Iterator[str]:
    refunded = {entry.order_id for entry in found.issuer if entry.did == "refunded"}
    for order in _sold(found):
        if order.order_id in refunded:
            yield f"order {order.order_id}"


def _refunds_apart(found: Evidence) -> Iterator[str]:
    ours = {booking.order_id for booking in found.bookings if booking.entry == "refund"}
    theirs = {entry.order_id for entry in found.issuer if entry.did == "refunded"}
    for order_id in sorted(ours ^ theirs):
        yield f"refund of order {order_id}"


def _second_charges(found: Evidence) -> Iterator[str]:
    yield from _several((e.order_id for e in found.issuer if e.did == "charged"), "order")


def _second_refunds(found: Evidence) -> Iterator[str]:
    yield from _several((e.order_id for e in found.issuer if e.did == "refunded"), "order")


# --- stock --------------------------------------------------------------------------------------


def _unheld_sales(found: Evidence) -> Iterator[str]:
    held = {r.order_id: sorted(r.lines) for r in found.reservations if not r.released}
    for order in _sold(found):
        if held.get(order.order_id) != sorted(order.lines):
            yield f"order {order.order_id}"


def _held_for_nothing(found: Evidence) -> Iterator[str]:
    sold = {order.order_id for order in _sold(found)}
    for reservation in found.reservations:
        if not reservation.released and reservation.order_id not in sold:
            yield f"order {reservation.order_id}"


def _stock_differences(found: Evidence) -> Iterator[tuple[str, int]]:
    """Items and by how many more there are than there should be."""
    expected = Counter(found.stock_at_first)
    for reservation in found.reservations:
        if not reservation.released:
            for sku, quantity in reservation.lines:
                expected[sku] -= quantity
    for sku, wanted in expected.items():
        if (difference := found.stock.get(sku, 0) - wanted) != 0:
            yield sku, difference


def _vanished_stock(found: Evidence) -> Iterator[str]:
    yield from (f"{-more} of {sku}" for sku, more in _stock_differences(found) if more < 0)


def _stock_from_nowhere(found: Evidence) -> Iterator[str]:
    yield from (f"{more} of {sku}" for sku, more in _stock_differences(found) if more > 0)


# --- events and mails ---------------------------------------------------------------------------


def _facts(found: Evidence) -> Iterator[tuple[str, str]]:
    """What has happened, as event name and key, told from the tables alone."""
    yield from (("AccountOpened", account_id) for account_id in found.accounts)
    for order in found.orders:
        yield "OrderPlaced", order.order_id
        if order.state == SOLD:
            yield "OrderPaid", order.order_id
        elif order.state in ENDED_UNSOLD:
            yield "OrderCancelled", order.order_id
    for booking in found.bookings:
        name = "PaymentCaptured" if booking.entry == "capture" else "PaymentRefunded"
        yield name, booking.order_id
    for payment in found.payments:
        if payment.state == "failed":
            yield "PaymentFailed", payment.order_id


def _unpublished_facts(found: Evidence) -> Iterator[str]:
    published = {(event.name, event.key) for event in found.events}
    yield from (f"{name} {key}" for name, key in _facts(found) if (name, key) not in published)


def _unhandled_events(found: Evidence) -> Iterator[str]:
    handled = set(found.handled)
    for event in found.events:
        for handler in HEARD_BY.get(event.name, ()):
            if (handler, event.event_id) not in handled:
                yield f"{event.name} {event.event_id} by {handler}"


def _vanished_events(found: Evidence) -> Iterator[str]:
    published = {event.event_id for event in found.events}
    for handler, event_id in found.handled:
        if event_id not in published:
            yield f"event {event_id}, handled by {handler}"


def _left_in_outbox(found: Evidence) -> Iterator[str]:
    yield from (f"event {event_id}" for event_id in found.left_in_outbox)


def _unwritten_mails(found: Evidence) -> Iterator[str]:
    written = {(mail.mail_id, mail.about) for mail in found.mails}
    for event in found.events:
        if event.name in MAILED and (event.event_id, event.key) not in written:
            yield f"{event.name} {event.key}"


def _undelivered_mails(found: Evidence) -> Iterator[str]:
    delivered = set(found.mailbox)
    yield from (f"mail {m.mail_id}" for m in found.mails if m.mail_id not in delivered)


def _second_events(found: Evidence) -> Iterator[str]:
    facts = [f"{e.name} {e.key}" for e in found.events if e.name in ONCE_PER_KEY]
    yield from _several(facts, "event")


def _second_mails(found: Evidence) -> Iterator[str]:
    yield from _several((f"about {mail.about}: {mail.subject}" for mail in found.mails), "mail")


def _second_deliveries(found: Evidence) -> Iterator[str]:
    yield from _several(found.mailbox, "mail")


def _unfinished(found: Evidence) -> Iterator[str]:
    for order in found.orders:
        if order.state not in AT_REST:
            yield f"order {order.order_id} is {order.state}"
    for payment in found.payments:
        if payment.state == "pending":
            yield f"payment of order {payment.order_id} is pending"


def _sold(found: Evidence) -> Iterator[OrderRow]:
    return (order for order in found.orders if order.state == SOLD)


def _several(things: Iterable[str], word: str) -> Iterator[str]:
    for thing, count in Counter(things).items():
        if count > 1:
            yield f"{word} {thing}, {count} times"


RULES: tuple[Rule, ...] = (
    Rule("account-kept", "lost", "an account that was opened exists", _unknown_accounts),
    Rule("order-kept", "lost", "an order that a customer was told of is theirs", _unknown_orders),
    Rule("outcome-kept", "lost", "what a customer was told stays true", _changed_outcomes),
    Rule("amount-kept", "lost", "a paid order costs what its customer was told", _changed_amounts),
    Rule("mail-kept", "lost", "a mail that a customer has read exists", _unknown_mails),
    Rule("sale-captured", "lost", "a paid order has a captured payment", _unpaid_sales),
    Rule(
        "payment-booked", "lost", "a payment stands in the ledger of payments", _unbooked_payments
    ),
    Rule(
        "booking-charged", "lost", "what is booked was charged by the issuer", _uncharged_bookings
    ),
    Rule("charge-used", "lost", "money the issuer took bought something", _money_for_nothing),
    Rule("sale-not-refunded", "lost", "the money of a paid order is kept", _sales_given_back),
    Rule("refund-agreed", "lost", "payments and issuer agree on refunds", _refunds_apart),
    Rule("sale-held", "lost", "the stock of a paid order is held", _unheld_sales),
    Rule("stock-released", "lost", "stock is held for paid orders only", _held_for_nothing),
    Rule("stock-kept", "lost", "what is not held is on sale", _vanished_stock),
    Rule("fact-published", "lost", "what happened was published", _unpublished_facts),
    Rule("outbox-empty", "lost", "no event is left in an outbox", _left_in_outbox),
    Rule("event-handled", "lost", "an event was handled by all who hear it", _unhandled_events),
    Rule("event-kept", "lost", "a handled event stands in the log", _vanished_events),
    Rule("mail-written", "lost", "an event that is told by mail has its mail", _unwritten_mails),
    Rule("mail-delivered", "lost", "a mail is in the mailbox", _undelivered_mails),
    Rule("order-at-rest", "lost", "no order or payment is left half-way", _unfinished),
    Rule("one-order-per-key", "doubled", "one key is one order", _second_orders),
    Rule("one-charge", "doubled", "an order is charged once", _second_charges),
    Rule("one-refund", "doubled", "an order is refunded once", _second_refunds),
    Rule("one-return", "doubled", "stock is given back once", _stock_from_nowhere),
    Rule("one-event", "doubled", "what happens once is published once", _second_events),
    Rule("one-mail", "doubled", "one mail is written about one thing", _second_mails),
    Rule("one-delivery", "doubled", "a mail is in the mailbox once", _second_deliveries),
)
