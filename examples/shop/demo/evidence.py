"""What five databases, the event logs and three ledgers outside say, read into plain rows.

Nothing is judged here, and nothing is written: the databases are opened read-only.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import NamedTuple

from shop.demo.event_log import events_of
from shop.demo.journal import Acknowledged, IssuerEntry, read_journal
from shop.demo.places import SERVICES, TOPICS, Places, Tables, rows_of
from shop.search.catalogue import items


class OrderRow(NamedTuple):
    """An order. `lines` are pairs of item and quantity."""

    order_id: str
    account_id: str
    state: str
    cents: int
    lines: tuple[tuple[str, int], ...]


class PaymentRow(NamedTuple):
    """A payment."""

    order_id: str
    state: str
    cents: int


class Booking(NamedTuple):
    """A line of the payments service's own ledger: `capture` or `refund`."""

    order_id: str
    entry: str
    cents: int
    issuer_id: str


class Held(NamedTuple):
    """A reservation."""

    order_id: str
    lines: tuple[tuple[str, int], ...]
    released: bool


class MailRow(NamedTuple):
    """A mail that the notifications service says it has sent."""

    mail_id: str
    about: str
    subject: str


class EventRow(NamedTuple):
    """A published event: its name without contract, and the key it is about."""

    event_id: str
    name: str
    key: str


class HandledRow(NamedTuple):
    """An event that a handler has done."""

    handler: str
    event_id: str


@dataclass
class Evidence:
    """Everything there is to compare, taken when all was quiet."""

    accounts: list[str] = field(default_factory=list)
    orders: list[OrderRow] = field(default_factory=list)
    payments: list[PaymentRow] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    stock_at_first: dict[str, int] = field(default_factory=dict)
    reservations: list[Held] = field(default_factory=list)
    mails: list[MailRow] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    handled: list[HandledRow] = field(default_factory=list)
    left_in_outbox: list[str] = field(default_factory=list)
    answers: list[Acknowledged] = field(default_factory=list)
    issuer: list[IssuerEntry] = field(default_factory=list)
    mailbox: list[str] = field(default_factory=list)


def read_evidence(places: Places) -> Evidence:
    """Read everything that a demo has left."""
    found = Evidence(stock_at_first={item.sku: item.stock for item in items()})
    for service in SERVICES:
        with rows_of(places, service) as rows:
            READ[service](rows, found)
            if not rows.is_boroughs:
                done = rows("select handler, event_id from inbox")
                found.handled += [HandledRow(f"{service}.{name}", event) for name, event in done]
                continue
            found.handled += map(
                HandledRow._make, rows("select handler, event_id from borough_inbox")
            )
            found.left_in_outbox += [row[0] for row in rows("select id from borough_outbox")]
            # Where the broker keeps no history, the publisher does.
            found.events += [
                EventRow(event_id, kind.rpartition(".")[2], key or "")
                for event_id, kind, key in rows("select id, type, key from borough_history")
            ]
    for topic in TOPICS:
        found.events += _events(places, topic)
    found.answers = list(read_journal(places.answers, Acknowledged))
    found.issuer = list(read_journal(places.issuer, IssuerEntry))
    found.mailbox = list(_message_ids(places.mailbox))
    return found


def _lines(text: str) -> tuple[tuple[str, int], ...]:
    return tuple((line["sku"], line["quantity"]) for line in json.loads(text))


def _read_accounts(rows: Tables, found: Evidence) -> None:
    found.accounts = [row[0] for row in rows("select account_id from accounts")]


def _read_search(rows: Tables, found: Evidence) -> None:
    found.stock = dict(rows("select sku, stock from items"))
    found.reservations = [
        Held(order_id, _lines(lines), bool(released))
        for order_id, lines, released in rows("select order_id, lines, released from reservations")
    ]


def _read_orders(rows: Tables, found: Evidence) -> None:
    found.orders = [
        OrderRow(order_id, account_id, state, cents, _lines(lines))
        for order_id, account_id, state, cents, lines in rows(
            "select order_id, account_id, state, total_cents, lines from orders"
        )
    ]


def _read_payments(rows: Tables, found: Evidence) -> None:
    found.payments = list(
        map(PaymentRow._make, rows("select order_id, state, cents from payments"))
    )
    found.bookings = list(
        map(Booking._make, rows("select order_id, entry, cents, issuer_id from ledger"))
    )


def _read_notifications(rows: Tables, found: Evidence) -> None:
    found.mails = list(map(MailRow._make, rows("select mail_id, about, subject from mails")))


READ = {
    "accounts": _read_accounts,
    "search": _read_search,
    "orders": _read_orders,
    "payments": _read_payments,
    "notifications": _read_notifications,
}


def _events(places: Places, topic: str) -> Iterator[EventRow]:
    """What was published. The relay may append an event again, under the same id: that is one."""
    seen: set[str] = set()
    for event in events_of(places, topic):
        if event.id not in seen:
            seen.add(event.id)
            yield EventRow(event.id, event.type.rpartition(".")[2], event.key)


def _message_ids(mailbox: Path) -> Iterator[str]:
    """The mails that have been delivered, by their Message-ID."""
    parser = BytesHeaderParser()
    for path in sorted((mailbox / "new").glob("*.eml")):
        with path.open("rb") as file:
            yield str(parser.parse(file)["Message-ID"]).strip("<>").partition("@")[0]
