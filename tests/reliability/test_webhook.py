"""Signatures are those of Standard Webhooks; what an answer says of an event is a table."""

import pytest

from borough.reliability.webhook import (
    Received,
    judge_status,
    read_keys,
    signature_fields,
    wait_asked_s,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""With the id, time and body below it is the example of the reference libraries."""
BODY = b'{"test": 2432232314}'
SIGNED = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_example_of_the_standard_is_signed_as_its_libraries_do() -> None:
    fields = dict(
        signature_fields(read_keys(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    )
    assert fields == {
        b"webhook-id": b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        b"webhook-timestamp": b"1614265330",
        b"webhook-signature": SIGNED,
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    other = "whsec_" + "QUFB" * 8
    fields = dict(
        signature_fields(
            read_keys(f"{other} {SECRET}"), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY
        )
    )
    first, second = fields[b"webhook-signature"].split(b" ")
    assert first.startswith(b"v1,")
    assert second == SIGNED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("hunter2", "whsec_"),
        ("whsec_not base64!", "base64"),
        ("whsec_QUFB", "3 bytes"),
        ("whsec_" + "QUFB" * 22, "66 bytes"),
    ],
)
def test_a_secret_that_is_none_is_refused_without_being_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_keys(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "received"),
    [
        (200, Received.DONE),
        (204, Received.DONE),
        (202, Received.DONE),
        (301, Received.FAILED),
        (400, Received.REFUSED),
        (401, Received.FAILED),
        (403, Received.FAILED),
        (404, Received.FAILED),
        (408, Received.FAILED),
        (409, Received.FAILED),
        (410, Received.REFUSED),
        (413, Received.REFUSED),
        (422, Received.REFUSED),
        (429, Received.AWAY),
        (500, Received.FAILED),
        (502, Received.FAILED),
        (503, Received.AWAY),
        (504, Received.FAILED),
    ],
)
def test_an_answer_says_what_becomes_of_the_event(status: int, received: Received) -> None:
    assert judge_status(status) is received


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("7", 7.0), ("99999999999", 300.0), ("soon", None), ("-1", None), ("٣", None)],
)
def test_a_receiver_may_say_when_to_come_back_and_not_for_ever(
    value: str | None, seconds: float | None
) -> None:
    assert wait_asked_s(value) == seconds
