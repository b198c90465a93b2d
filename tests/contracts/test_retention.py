"""How long a topic keeps its events: read from words, said in one way."""

from typing import Any, Protocol

import pytest

from borough import Event, Key, contract
from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.reading import read_contract
from borough.contracts.retention import FOREVER, LATEST_PER_KEY, WEEK, Retention
from borough.errors import ConfigurationError


@pytest.mark.parametrize(
    ("words", "retention", "said"),
    [
        ("7d", WEEK, "7d"),
        ("168h", WEEK, "7d"),
        ("36h", Retention("age", 129_600), "36h"),
        ("1h", Retention("age", 3600), "1h"),
        ("latest per key", LATEST_PER_KEY, "latest per key"),
        ("forever", FOREVER, "forever"),
    ],
)
def test_words_are_read_and_said_in_one_way(words: str, retention: Retention, said: str) -> None:
    assert Retention.read(words) == retention
    assert retention.words == said


@pytest.mark.parametrize(
    "words", ["", "7", "0d", "-1d", "7 d", "7D", "1.5d", "100000d", "7d\n", "latest", None, 7]
)
def test_anything_else_means_nothing(words: Any) -> None:
    assert Retention.read(words) is None


class Priced(Event):
    """It has a price."""

    sku: Key[str]


def catalog(**options: Any) -> Any:
    """A contract with these options."""

    @contract("catalog", version="1.0", publishes=[Priced], **options)
    class Catalog(Protocol):
        """Knows prices."""

    return read_contract(Catalog)


def test_a_topic_retains_seven_days_unless_its_contract_says_otherwise() -> None:
    assert catalog().retention == WEEK
    assert catalog(retains="latest per key").retention == LATEST_PER_KEY


def test_the_usual_retention_does_not_stand_in_a_descriptor() -> None:
    usual = describe(catalog())
    assert b"retains" not in to_json(usual)
    assert fingerprint(describe(catalog(retains="168h"))) == fingerprint(usual)


def test_another_retention_stands_in_the_descriptor_and_changes_its_fingerprint() -> None:
    other = describe(catalog(retains="48h"))
    assert other.retains == "2d"
    assert from_json(to_json(other)) == other
    assert fingerprint(other) != fingerprint(describe(catalog()))


def test_a_descriptor_with_a_retention_that_means_nothing_is_refused() -> None:
    text = to_json(describe(catalog(retains="forever"))).replace(b"forever", b"for ever")
    with pytest.raises(ConfigurationError, match="The descriptor is broken: it retains 'for ever'"):
        from_json(text)
