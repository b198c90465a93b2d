"""`--store` and `--broker` as options of borough.toml."""

import argparse
from typing import Any

import pytest

from borough.cli.engines import add_engine_options, engine_flags


def flags(*words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_engine_options(parser)
    return engine_flags(parser.parse_args(words))


def test_nothing_given_leaves_all_to_borough_toml() -> None:
    assert flags() == {}


def test_a_store_and_a_broker_are_for_the_whole_system() -> None:
    found = flags("--store", "postgres", "--broker", "kafka")
    assert found == {"data.store": "postgres", "events.broker": "kafka"}


def test_services_may_have_stores_of_their_own() -> None:
    found = flags("--store", "postgres, search=sqlite")
    assert found == {"data.store": "postgres", "services.search.store": "sqlite"}


@pytest.mark.parametrize("text", ["mysql", "orders=mysql", "=sqlite", "orders", ""])
def test_an_unknown_store_is_told_with_what_there_is(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        flags("--store", text)
    assert "write sqlite or postgres, or SERVICE=NAME" in capsys.readouterr().err
