"""`--store` and `--broker` as options of borough.toml."""

import argparse
import os
from pathlib import Path
from typing import Any

import pytest

from borough.cli.address import Address, write_address
from borough.cli.engines import add_engine_options, engine_flags, with_engines_in_use
from borough.runtime.configuration import Configuration


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


IN_USE = {
    "data.store": "sqlite",
    "events.broker": "rabbitmq",
    "services.search.store": "postgres",
}


def in_use(folder: Path, *words: str) -> dict[str, Any]:
    flags_given = {"data.folder": str(folder), **flags(*words)}
    configuration = Configuration.load(folder, {}, flags_given)
    found = with_engines_in_use(configuration, flags_given, ["search"])
    return {name: value for name, value in found.items() if name != "data.folder"}


def test_a_command_beside_a_running_system_takes_the_engines_that_it_was_started_with(
    tmp_path: Path,
) -> None:
    assert in_use(tmp_path) == {}
    write_address(tmp_path, Address(os.getpid(), "", engines=IN_USE))
    assert in_use(tmp_path) == IN_USE


def test_what_a_command_names_itself_counts(tmp_path: Path) -> None:
    write_address(tmp_path, Address(os.getpid(), "", engines=IN_USE))
    assert in_use(tmp_path, "--store", "sqlite") == {
        "data.store": "sqlite",
        "events.broker": "rabbitmq",
    }
    assert in_use(tmp_path, "--broker", "embedded") == {**IN_USE, "events.broker": "embedded"}


def test_what_is_said_of_a_service_that_is_gone_or_by_a_later_borough_does_not_count(
    tmp_path: Path,
) -> None:
    more = {"services.gone.store": "postgres", "data.something": "new"}
    write_address(tmp_path, Address(os.getpid(), "", engines={**IN_USE, **more}))
    assert in_use(tmp_path) == IN_USE
