"""What a process says is masked: known secrets wherever they are, and what looks like one."""

import base64
import gc
import json
import logging
import sys
import time
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from borough import Secret
from borough.telemetry.masking import (
    MaskingFormatter,
    known_secrets,
    masked,
    masked_url,
    without_secrets,
    without_secrets_in,
)

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"


@given(st.text(min_size=6, max_size=40), st.text(max_size=20), st.text(max_size=20))
@example('pass "word"\n\\', "{", "}")
def test_a_known_secret_is_hidden_however_it_is_written(
    value: str, before: str, after: str
) -> None:
    secret = Secret(value)
    data = value.encode()
    for written in (
        value, repr(value), json.dumps(value), quote(value), quote(value, safe=""),
        base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode(), data.hex(),
    ):  # fmt: skip
        assert value not in without_secrets(f"{before}{written}{after}").replace("***", "")
        assert written not in without_secrets(f"{before} {written} {after}")
    del secret


def test_a_secret_is_hidden_as_long_as_it_lives() -> None:
    first, second = Secret("correct horse"), Secret("correct horse")
    assert without_secrets("the correct horse") == "the ***"
    del first
    gc.collect()
    assert without_secrets("the correct horse") == "the ***"
    del second
    gc.collect()
    assert without_secrets("the correct horse") == "the correct horse"
    assert "correct horse" not in known_secrets()


def test_each_line_of_a_key_is_hidden() -> None:
    secret = Secret("-----BEGIN KEY-----\nMC4CAQAwBQYDK2\nVwBCIEIJ\n-----END KEY-----\n")
    assert "MC4CAQ" not in without_secrets("left is MC4CAQAwBQYDK2 alone")
    assert secret.reveal().startswith("-----BEGIN")


def test_a_short_secret_is_not_looked_for() -> None:
    secret = Secret("a")
    assert without_secrets("a banana") == "a banana"
    assert str(secret) == "Secret(***)"


def test_an_answer_is_left_alone_where_nothing_is_hidden() -> None:
    body = '{"detail":"ä"}'.encode()
    assert without_secrets_in(body) == body
    secret = Secret("härter")
    assert without_secrets_in('{"detail":"härter"}'.encode()) == b'{"detail":"***"}'
    assert secret.reveal() == "härter"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"Authorization: Bearer {TOKEN}", "c2lnbm"),
        (f"got {TOKEN} from ann", "c2lnbm"),
        ("authorization: Basic YW5uOmh1bnRlcjI=", "YW5u"),
        ("{'authorization': 'Bearer abcdef123456', 'x': '1'}", "abcdef"),
        ("[(b'authorization', b'Bearer abcdef123456')]", "abcdef"),
        ("Cookie: session=abcdef; other=ghijkl", "ghijkl"),
        ("{'set-cookie': 'session=abcdef; HttpOnly'}", "abcdef"),
        ('{"email": "a@b.c", "password": "hunt\\"er2"}', "er2"),
        ('"{\\"password\\": \\"hunter2\\"}"', "hunter2"),
        ("password=hunter2&x=1", "hunter2"),
        ("LoginRequest(email='a', password='hunter2')", "hunter2"),
        ("db_password: hunter2", "hunter2"),
        ("api_key=hunter2, retries=3", "hunter2"),
        ("borough-proof: 0123456789abcdef", "0123456789abcdef"),
        ("connecting to postgres://ann:hunter2@db:5432/x", "hunter2"),
        ("card 4242424242424242 declined", "42424242"),
        ("card 4242 4242 4242 4242 declined", "4242 4242"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(said: str, left: str) -> None:
    assert left not in masked(said)
    assert "***" in masked(said)


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-25 22:36:32,698 INFO borough.host: 3 tokens, and 5 keys",
        "order 46f5c5a14c056db7784dbc16 has no payment outcome yet",
        "the keys that tokens are checked with were not read: timed out",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "see https://shop.example/a@b and http://127.0.0.1:8080/",
        "number 4242424242424241 is no card",
        "the bearer of this",
        "",
    ],
)
def test_what_does_not_is_left(said: str) -> None:
    assert masked(said) == said


def test_the_rest_of_a_line_stays() -> None:
    assert masked("card 4242424242424242 declined") == "card ***4242 declined"
    assert masked_url("https://ann:hunter2@db/x") == "https://***@db/x"
    assert masked("password=hunter2&x=1") == "password=***&x=1"


def test_a_formatter_masks_message_arguments_and_traceback() -> None:
    secret = Secret("correct horse")
    try:
        raise ValueError(f"no {secret.reveal()}")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "with %s", (secret.reveal(),), sys.exc_info()
        )
    text = MaskingFormatter("%(levelname)s %(message)s").format(record)
    assert text.startswith("ERROR with ***\nTraceback")
    assert text.endswith("ValueError: no ***")


@pytest.mark.parametrize("part", ["token", "password", "eyJ-", "cookie: ", "4111 ", "x://a:b"])
def test_a_long_text_is_masked_in_no_time(part: str) -> None:
    text = part * (60_000 // len(part))
    began = time.thread_time()
    masked(text)
    assert time.thread_time() - began < 2.0


def test_what_is_very_long_is_cut() -> None:
    assert masked("x" * 100_000).endswith(f"... ({100_000 - 64 * 1024} more characters)")
