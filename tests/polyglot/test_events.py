"""The TypeScript service takes what Borough pushes, once, and nothing from anybody else."""

from __future__ import annotations

import email
import email.policy
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from shop.accounts.contract import AccountOpened
from shop.notifications import texts
from shop.notifications.contract import Mail
from shop.notifications.delivery import message_of
from shop.orders.contract import OrderCancelled, OrderPaid
from tests.polyglot.typescript import SECRET, Notifications, ask, event, signed

OPENED = "accounts.Accounts.AccountOpened"
PAID = "orders.Orders.OrderPaid"
CANCELLED = "orders.Orders.OrderCancelled"
ADA = {"account_id": "a1", "email": "ada@shop.example", "name": "Ada Lovelace"}
LINES = [
    {"sku": "s1", "name": "Teapot", "quantity": 2, "price_cents": 123_456},
    {"sku": "s2", "name": "Ein Krug für Zoë \U00010348", "quantity": 12, "price_cents": 5},
]
ORDER = {"order_id": "0123456789ab", "buyer": ADA}
EVENTS: list[tuple[str, Any, Any, Any]] = [
    (OPENED, ADA, AccountOpened, texts.welcome),
    (OPENED, {**ADA, "name": "Zoë Ångström"}, AccountOpened, texts.welcome),
    (PAID, {**ORDER, "lines": LINES[:1], "total_cents": 246_912}, OrderPaid, texts.receipt),
    (PAID, {**ORDER, "lines": LINES, "total_cents": 100_000_000}, OrderPaid, texts.receipt),
    (CANCELLED, {**ORDER, "state": "declined", "reason": "no"}, OrderCancelled, texts.regret),
    (CANCELLED, {**ORDER, "state": "cancelled", "reason": ""}, OrderCancelled, texts.regret),
]


@pytest.mark.parametrize(("kind", "data", "read", "write"), EVENTS)
def test_it_writes_the_mail_that_the_python_service_writes(
    notifications: Notifications, kind: str, data: Any, read: Any, write: Any
) -> None:
    assert notifications.push("e1", kind, data).status == 204
    (name,) = notifications.mails
    assert name == "e1.eml"
    letter = write(msgspec.convert(data, read))
    expected = message_of(
        Mail(
            mail_id="e1",
            recipient=letter.recipient,
            subject=letter.subject,
            text=letter.text,
            about=letter.about,
            sent_at=datetime.now(UTC),
        )
    )
    content = (notifications.mailbox / "new" / name).read_bytes()
    found = email.message_from_bytes(content, policy=email.policy.default)
    for field in ("From", "To", "Subject", "Message-ID", "Content-Type", "MIME-Version"):
        assert found[field] == expected[field]
    assert abs((found["Date"].datetime - datetime.now(UTC)).total_seconds()) < 60
    assert found.get_content() == expected.get_content()
    assert notifications.rows("select account_id, recipient, subject, text, about from mails") == [
        ("a1", letter.recipient, letter.subject, letter.text, letter.about)
    ]


def test_an_event_that_comes_again_is_done_once_also_after_a_restart(
    notifications: Notifications,
) -> None:
    for _ in range(3):
        assert notifications.push("e1", OPENED, ADA).status == 204
    first = notifications.rows("select sent_at from mails")
    assert notifications.stop() == 0
    again = Notifications(notifications.folder)
    try:
        assert again.push("e1", OPENED, ADA).status == 204
        assert again.rows("select sent_at from mails") == first
        assert again.rows("select event_id, handler from inbox") == [("e1", "say_welcome")]
        assert again.mails == ["e1.eml"]
    finally:
        again.close()


def test_many_at_once_are_all_done_and_repeats_among_them_once(
    notifications: Notifications,
) -> None:
    ids = [f"e{number % 40}" for number in range(120)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda each: notifications.push(each, OPENED, ADA).status, ids))
    assert set(answers) == {204}
    assert notifications.rows("select count(*) from inbox") == [(40,)]
    assert len(notifications.mails) == 40


def test_an_event_of_no_concern_is_taken_and_nothing_is_done(notifications: Notifications) -> None:
    assert notifications.push("e1", "orders.Orders.OrderPlaced", {}).status == 204
    assert notifications.mails == []


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("right", 204),
        ("another secret", 401),
        ("another body", 401),
        ("another id", 401),
        ("no signature", 401),
        ("an hour old", 401),
        ("from tomorrow", 401),
    ],
)
def test_only_what_is_signed_by_borough_and_fresh_counts(
    notifications: Notifications, case: str, status: int
) -> None:
    body = event("e1", OPENED, ADA)
    now = time.time()
    fields = {
        "right": signed("e1", body),
        "another secret": signed("e1", body, secret="whsec_" + "QUFB" * 8),
        "another body": signed("e1", body + b" "),
        "another id": {**signed("e1", body), "webhook-id": "e2"},
        "no signature": {"content-type": "application/cloudevents+json"},
        "an hour old": signed("e1", body, at=now - 3600),
        "from tomorrow": signed("e1", body, at=now + 86_400),
    }[case]
    answer = ask(notifications.port, "POST", "/events", fields, body)
    assert answer.status == status
    assert len(notifications.mails) == (status == 204)
    assert SECRET not in notifications.said


def test_while_the_secret_is_replaced_both_count(notifications: Notifications) -> None:
    other = "whsec_" + "QUFB" * 8
    both = Notifications(notifications.folder, SHOP_PUSH_SECRET=f"{SECRET} {other}")
    try:
        for number, secret in enumerate((SECRET, other)):
            body = event(f"e{number}", OPENED, ADA)
            fields = signed(f"e{number}", body, secret=secret)
            assert ask(both.port, "POST", "/events", fields, body).status == 204
    finally:
        both.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"specversion": "0.3"}', 400),
        (b'{"specversion": "1.0", "id": "e1", "source": "/x"}', 400),
        (event("e1", PAID, None), 400),
        (event("e1", PAID, {"order_id": 7}), 400),
        (b" " * (1024 * 1024 + 8192), 413),
    ],
)
def test_what_it_can_never_read_is_refused_for_good(
    notifications: Notifications, body: bytes, status: int
) -> None:
    answer = ask(notifications.port, "POST", "/events", signed("e1", body), body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert notifications.mails == []


def test_events_come_as_cloudevents_by_post(notifications: Notifications) -> None:
    body = event("e1", OPENED, ADA)
    plain = {**signed("e1", body), "content-type": "application/json"}
    assert ask(notifications.port, "POST", "/events", plain, body).status == 415
    assert ask(notifications.port, "GET", "/events").status == 405


def test_the_trace_of_an_event_goes_on(notifications: Notifications) -> None:
    trace = "00-" + "12" * 16 + "-" + "34" * 8 + "-01"
    notifications.push("e1", OPENED, ADA)
    notifications.push("e2", OPENED, ADA, traceparent=trace)
    lines = [json.loads(line) for line in notifications.said.splitlines()]
    assert [each["trace_id"] for each in lines] == ["ab" * 16, "12" * 16]


def test_an_id_leads_out_of_no_folder(notifications: Notifications) -> None:
    assert notifications.push("../../e1", OPENED, ADA).status == 204
    assert notifications.mails == ["______e1.eml"]


def test_it_stops_with_status_0_and_says_so_before(notifications: Notifications) -> None:
    assert ask(notifications.port, "GET", "/livez").document == {"status": "live"}
    ready = ask(notifications.port, "GET", "/readyz")
    assert ready.document == {"status": "ready", "services": {"notifications": "ready"}}
    assert notifications.stop() == 0
