"""The key of a call as it stands in its header."""

import re
from base64 import urlsafe_b64encode

import pytest

from borough.contracts.openapi import KEY_PARAMETER
from borough.errors import InvalidRequest
from borough.transports.http import wire


@pytest.mark.parametrize("same", ["k 1,2;3", 'a"b', "a\\b", "k" * 255, '"', "\\\\", "~!#"])
def test_a_key_that_is_written_is_read_again(same: str) -> None:
    assert wire.read_idempotency_key(wire.write_idempotency_key(same).decode()) == same


@pytest.mark.parametrize(
    "wrong",
    [
        "k" * 256, '"' + "k" * 256 + '"', '""', "kä", "", "a b", "a, b", "a;b=1", '"a"b"', '"a', 'a"',
        '"a\\b"', '"a";b=1', '"a", "b"', "a\\", '"a\\"', '"a\tb"',
    ],
)  # fmt: skip
def test_a_key_that_the_draft_does_not_know_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 255 printable"):
        wire.read_idempotency_key(wrong)


def test_the_document_says_what_a_key_may_be() -> None:
    pattern = re.compile(KEY_PARAMETER["schema"]["pattern"])
    for key in ("k1", "k" * 255, "k 1", 'a"b', "a\\b", "1,2;3"):
        written = wire.write_idempotency_key(key).decode()
        assert pattern.fullmatch(written)
    for text in map(chr, range(32, 127)):
        takes = True
        try:
            wire.read_idempotency_key(f"a{text}b")
        except InvalidRequest:
            takes = False
        assert bool(pattern.fullmatch(f"a{text}b")) == takes


@pytest.mark.parametrize("text", [b'{"claims":' + b'{"a":' * 5000, b'{"subject":"\xff"}', b"[]"])
def test_an_end_user_that_cannot_be_read_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Borough-Principal cannot be read"):
        wire.read_principal(urlsafe_b64encode(text).decode())


def test_a_port_of_thousands_of_digits_is_nobodys() -> None:
    assert wire.read_client("127.0.0.1 " + "9" * 5000) == ("", 0)
    assert wire.read_client("127.0.0.1 8080") == ("127.0.0.1", 8080)
