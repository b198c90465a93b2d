"""What others say of when to come again is read, whatever they say."""

import pytest

from borough.reliability.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("9" * 5000, 999_999_999.0),
        ("soon", None),
        ("-1", None),
        ("\u00b2", None),  # a digit by Unicode, and no number
        ("\u0663", None),
        ("Fri, 31 Dec 1999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_in_digits_or_nothing(
    value: str | None, seconds: float | None
) -> None:
    assert retry_after_s(value) == seconds
