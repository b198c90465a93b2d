"""Log lines on their way out: nothing secret goes with them, and no line harms who says it."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

from borough.observing.log_lines import LogLines
from borough.services.settings import Secret

SAYING = r"""
import logging
from borough.telemetry.logs import begin_logging
begin_logging(logging.INFO)
logging.getLogger("stall").info("%s", "pears\x1b[2J\n2026-01-01 ERROR plums")
"""

MISSAYING = r"""
import logging
from borough.services.settings import Secret
from borough.telemetry.logs import begin_logging
begin_logging(logging.INFO)
key = Secret("pear-orchard-key")
logging.getLogger("stall").info("%d pears", key.reveal())
"""


def said(text: str, *args: object, **extra: Any) -> logging.LogRecord:
    """A line as a logger makes it."""
    return logging.getLogger("stall").makeRecord(
        "stall", logging.ERROR, "stall.py", 1, text, args, None, extra=extra
    )


def test_a_line_whose_arguments_do_not_fit_is_lost_and_counted_and_raises_nothing() -> None:
    lines = LogLines("market")
    lines.handle(said("%d pears", "no number"))
    assert lines.take() == []
    assert lines.dropped == 1


def test_what_is_given_as_extra_is_masked_by_its_value_and_by_its_name() -> None:
    key, lines = Secret("pear-orchard-key"), LogLines("market")
    lines.handle(
        said(
            "asking",
            sent={"authorization": "Bearer abcdefgh"},
            used=key.reveal(),
            password="of whom nobody knows",
            card=4111111111111111,
            token_count=12,
            paid=True,
        )
    )
    (line,) = lines.take()
    assert line.attributes == {
        "sent": "{'authorization': ***}",
        "used": "***",
        "password": "***",
        "card": "***1111",
        "token_count": 12,
        "paid": True,
    }


def test_what_is_said_in_text_gives_no_orders_to_a_terminal_and_forges_no_line() -> None:
    begun = subprocess.run(
        [sys.executable, "-c", SAYING], capture_output=True, text=True, check=True, timeout=60
    )
    lines = begun.stderr.splitlines()
    assert [line.partition("stall: ")[2] or line for line in lines] == [
        "pears\N{REPLACEMENT CHARACTER}[2J",
        "    2026-01-01 ERROR plums",
    ]


def test_what_is_said_of_a_line_that_cannot_be_made_is_masked() -> None:
    begun = subprocess.run(
        [sys.executable, "-c", MISSAYING], capture_output=True, text=True, check=True, timeout=60
    )
    assert "No log line could be made of '%d pears' with ('***',)" in begun.stderr
    assert "orchard" not in begun.stderr
