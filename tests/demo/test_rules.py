"""Each rule finds exactly the fault that was planted for it."""

import copy
from collections.abc import Callable

import pytest

from shop.demo.evidence import (
    Booking,
    EventRow,
    Evidence,
    HandledRow,
    Held,
    MailRow,
    OrderRow,
    PaymentRow,
)
from shop.demo.journal import Acknowledged, IssuerEntry
from shop.demo.rules import HEARD_BY, RULES, Rule, judge

MAILS = ("AccountOpened", "OrderPaid", "OrderCancelled")


def sound() -> Evidence:
    """Ada has one paid, one declined and one refunded order, and everybody agrees."""
    kettle = (("KIT-1", 2),)
    events = [
        EventRow("e0", "AccountOpened", "ada"),
        EventRow("e1", "OrderPlaced", "paid"),
        EventRow("e2", "PaymentCaptured", "paid"),
        EventRow("e3", "OrderPaid", "paid"),
        EventRow("e4", "OrderPlaced", "declined"),
        EventRow("e5", "PaymentFailed", "declined"),
        EventRow("e6", "OrderCancelled", "declined"),
        EventRow("e7", "OrderPlaced", "refunded"),
        EventRow("e8", "PaymentCaptured", "refunded"),
        EventRow("e9", "OrderPaid", "refunded"),
        EventRow("e10", "PaymentRefunded", "refunded"),
        EventRow("e11", "OrderCancelled", "refunded"),
    ]
    mails = [
        MailRow(event.event_id, event.key, event.name) for event in events if event.name in MAILS
    ]
    return Evidence(
        accounts=["ada"],
        orders=[
            OrderRow("paid", "ada", "paid", 200, kettle),
            OrderRow("declined", "ada", "declined", 200, kettle),
            OrderRow("refunded", "ada", "cancelled", 200, kettle),
        ],
        payments=[
            PaymentRow("paid", "captured", 200),
            PaymentRow("declined", "failed", 200),
            PaymentRow("refunded", "refunded", 200),
        ],
        bookings=[
            Booking("paid", "capture", 200, "ch1"),
            Booking("refunded", "capture", 200, "ch2"),
            Booking("refunded", "refund", 200, "ch2"),
        ],
        stock={"KIT-1": 8, "KIT-2": 5},
        stock_at_first={"KIT-1": 10, "KIT-2": 5},
        reservations=[
            Held("paid", kettle, False),
            Held("declined", kettle, True),
            Held("refunded", kettle, True),
        ],
        mails=mails,
        events=events,
        handled=[
            HandledRow(handler, event.event_id)
            for event in events
            for handler in HEARD_BY.get(event.name, ())
        ],
        answers=[
            Acknowledged("account", "ada"),
            Acknowledged("checkout", "ada", "k1", "paid", "paid", 200),
            Acknowledged("checkout", "ada", "k1", "paid", "paid", 200),
            Acknowledged("checkout", "ada", "k2", "declined", "declined"),
            Acknowledged("checkout", "ada", "k3", "refunded", "paid", 200),
            Acknowledged("cancelled", "ada", "", "refunded", "refunding"),
            Acknowledged("mail", "ada", order_id="paid", mail_id="e3"),
        ],
        issuer=[
            IssuerEntry("charged", "paid", "ch1", 200),
            IssuerEntry("declined", "declined", reason="card_declined"),
            IssuerEntry("charged", "refunded", "ch2", 200),
            IssuerEntry("refunded", "refunded", "ch2", 200),
        ],
        mailbox=[mail.mail_id for mail in mails],
    )


def _drop_answered_account(e: Evidence) -> None:
    e.answers.append(Acknowledged("account", "bob"))


def _drop_answered_order(e: Evidence) -> None:
    e.answers.append(Acknowledged("checkout", "ada", "k4", "gone", "paid", 100))


def _change_outcome(e: Evidence) -> None:
    e.answers.append(Acknowledged("order", "ada", "", "declined", "paid", 200))


def _forget_cancellation(e: Evidence) -> None:
    e.answers.append(Acknowledged("cancelled", "ada", "", "paid", "refunding"))


def _change_amount(e: Evidence) -> None:
    e.answers.append(Acknowledged("order", "ada", "", "paid", "paid", 100))


def _drop_read_mail(e: Evidence) -> None:
    e.answers.append(Acknowledged("mail", "ada", order_id="paid", mail_id="e99"))


def _drop_capture(e: Evidence) -> None:
    e.payments[0] = PaymentRow("paid", "failed", 200)


def _drop_booking(e: Evidence) -> None:
    del e.bookings[0]


def _book_without_charge(e: Evidence) -> None:
    del e.issuer[0]


def _charge_for_nothing(e: Evidence) -> None:
    e.issuer.append(IssuerEntry("charged", "nowhere", "ch9", 100))


def _refund_a_sale(e: Evidence) -> None:
    e.issuer.append(IssuerEntry("refunded", "paid", "ch1", 200))


def _refund_unknown_to_issuer(e: Evidence) -> None:
    del e.issuer[-1]


def _drop_reservation(e: Evidence) -> None:
    e.reservations[0] = Held("paid", (("KIT-1", 1),), False)


def _hold_for_declined(e: Evidence) -> None:
    e.reservations[1] = Held("declined", (("KIT-1", 2),), False)


def _drop_stock(e: Evidence) -> None:
    e.stock["KIT-2"] -= 1


def _drop_event(e: Evidence) -> None:
    del e.events[3]


def _leave_in_outbox(e: Evidence) -> None:
    e.left_in_outbox.append("e12")


def _drop_handled(e: Evidence) -> None:
    del e.handled[0]


def _handle_unheard_of(e: Evidence) -> None:
    e.handled.append(HandledRow("orders.mark_paid", "e99"))


def _drop_mail(e: Evidence) -> None:
    del e.mails[0]


def _drop_delivery(e: Evidence) -> None:
    del e.mailbox[0]


def _leave_half_way(e: Evidence) -> None:
    e.orders.append(OrderRow("slow", "ada", "paying", 200, ()))


def _leave_payment(e: Evidence) -> None:
    e.payments.append(PaymentRow("slow", "pending", 200))


def _order_twice(e: Evidence) -> None:
    e.answers.append(Acknowledged("checkout", "ada", "k1", "declined", "declined"))


def _charge_twice(e: Evidence) -> None:
    e.issuer.append(IssuerEntry("charged", "paid", "ch7", 200))


def _refund_twice(e: Evidence) -> None:
    e.issuer.append(e.issuer[-1])


def _return_twice(e: Evidence) -> None:
    e.stock["KIT-1"] += 2


def _publish_twice(e: Evidence) -> None:
    e.events.append(EventRow("e33", "OrderPaid", "paid"))


def _write_twice(e: Evidence) -> None:
    e.mails.append(MailRow("e44", "paid", "OrderPaid"))


def _deliver_twice(e: Evidence) -> None:
    e.mailbox.append(e.mailbox[-1])


PLANTED: list[tuple[str, Callable[[Evidence], None]]] = [
    ("account-kept", _drop_answered_account),
    ("order-kept", _drop_answered_order),
    ("outcome-kept", _change_outcome),
    ("outcome-kept", _forget_cancellation),
    ("amount-kept", _change_amount),
    ("mail-kept", _drop_read_mail),
    ("sale-captured", _drop_capture),
    ("payment-booked", _drop_booking),
    ("booking-charged", _book_without_charge),
    ("charge-used", _charge_for_nothing),
    ("sale-not-refunded", _refund_a_sale),
    ("refund-agreed", _refund_unknown_to_issuer),
    ("sale-held", _drop_reservation),
    ("stock-released", _hold_for_declined),
    ("stock-kept", _drop_stock),
    ("fact-published", _drop_event),
    ("outbox-empty", _leave_in_outbox),
    ("event-handled", _drop_handled),
    ("event-kept", _handle_unheard_of),
    ("mail-written", _drop_mail),
    ("mail-delivered", _drop_delivery),
    ("order-at-rest", _leave_half_way),
    ("order-at-rest", _leave_payment),
    ("one-order-per-key", _order_twice),
    ("one-charge", _charge_twice),
    ("one-refund", _refund_twice),
    ("one-return", _return_twice),
    ("one-event", _publish_twice),
    ("one-mail", _write_twice),
    ("one-delivery", _deliver_twice),
]


def test_sound_evidence_breaks_no_rule() -> None:
    assert judge(sound()) == []


def test_every_rule_has_a_planted_fault() -> None:
    assert {rule.name for rule in RULES} == {name for name, _ in PLANTED}


@pytest.mark.parametrize(
    ("name", "plant"), PLANTED, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_planted_fault_is_found_by_its_rule(name: str, plant: Callable[[Evidence], None]) -> None:
    evidence = sound()
    plant(evidence)
    rule = next(rule for rule in RULES if rule.name == name)
    assert len(list(rule.broken_by(evidence))) == 1
    assert [breach for breach in judge(evidence) if breach.rule is rule]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_changes_nothing_and_speaks_in_a_sentence(rule: Rule) -> None:
    evidence = sound()
    before = copy.deepcopy(evidence)
    assert list(rule.broken_by(evidence)) == []
    assert evidence == before
    assert rule.kind in ("lost", "doubled")
    assert len(rule.sentence.split()) > 3


@pytest.mark.parametrize("state", ["paid", "cancelled"])
def test_who_asked_to_cancel_and_got_no_answer_may_find_either_outcome(state: str) -> None:
    evidence = sound()
    if state == "cancelled":
        evidence.answers = [a for a in evidence.answers if a.what != "cancelled"]
    order_id = "refunded" if state == "cancelled" else "paid"
    evidence.answers.append(Acknowledged("order", "ada", "", order_id, "paid", 200))
    asked = Acknowledged("cancelling", "ada", "", order_id)
    evidence.answers.append(asked)
    assert not judge(evidence)
    evidence.answers.remove(asked)
    assert bool(judge(evidence)) == (state == "cancelled")
