"""Whoever may sign up can be written to: an address that no mail can carry is refused at the door."""

from datetime import UTC, datetime

import msgspec
import pytest

from shop.accounts.contract import Email
from shop.notifications.contract import Mail
from shop.notifications.delivery import message_of


def mail_to(recipient: str) -> Mail:
    now = datetime.now(UTC)
    return Mail(mail_id="1", recipient=recipient, subject="Hello", text="x", about="", sent_at=now)


@pytest.mark.parametrize(
    "address",
    [
        "ada@shop.example",
        "a.b+c@x-y.example",
        "ö@ü.example",
        "中@\U00098e61.é",
        "a'b@c.de",
        "'@'.'",
    ],
)
def test_a_mail_can_be_written_to_every_address_that_is_taken(address: str) -> None:
    assert msgspec.convert(address, Email) == address
    assert b"To: " in bytes(message_of(mail_to(address)))


@pytest.mark.parametrize(
    "address",
    [
        "w@[ą¼fï.é«", "a@b", "a@b..c", ".a@b.c", "a.@b.c", "a@b.c.", '"a"@b.c', "a(b)@c.d", "a,b@c.d", "a:b@c.d",
        "<a@b.c>", "a;b@c.d", "a\\b@c.d", "a b@c.d", "a@b@c.d", "a\n@b.c", "a\x85@b.c", "a\x00@b.c", "",
        "=?utf-8?q?a=40b=2Ec=2C?=@d.e", "a@=?utf-8?q?b=0D=0ABcc=3A?=.c",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(address, Email)


@pytest.mark.parametrize(
    "address",
    ["=?utf-8?q?a=40b=2Ec=2C?=@d.e", "a@=?utf-8?q?b=0D=0ABcc=3Ac=40d.e?=.c", "a@b.c, d@e.f", ""],
)
def test_no_mail_goes_to_another_address_than_the_one_that_is_told(address: str) -> None:
    with pytest.raises(ValueError, match="the recipient's address"):
        message_of(mail_to(address))
