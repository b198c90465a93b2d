"""The net that hangs over every test catches what it is there for."""

import logging

import pytest

from borough import Secret
from tests.conftest import NET
from tests.secrets.test_masking import TOKEN

log = logging.getLogger("borough.planted")


def test_a_secret_in_a_log_line_is_caught() -> None:
    secret = Secret("correct horse")
    log.error("with %s", secret)
    assert NET.taken() == []
    log.error("with %s", secret.reveal())
    assert NET.taken() == ["ERROR borough.planted: with correct horse"]


def test_a_token_in_a_traceback_is_caught() -> None:
    try:
        raise ValueError(TOKEN)
    except ValueError:
        log.exception("it failed")
    (leak,) = NET.taken()
    assert TOKEN in leak


@pytest.mark.parametrize("word", ["nothing", "Bearer ***"])
def test_other_lines_are_let_through(word: str) -> None:
    log.error(word)
    assert NET.taken() == []
