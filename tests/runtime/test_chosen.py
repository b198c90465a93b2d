"""What the configuration chooses for a service, and what is said of what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.runtime.chosen import ChosenAdapters
from borough.runtime.configuration import Configuration


def chosen(folder: Path, store: str) -> ChosenAdapters:
    flags = {"data.store": store, "data.postgres.url": "postgresql://borough@127.0.0.1"}
    return ChosenAdapters(Configuration.load(folder, {}, flags), folder, SystemClock())


def test_data_that_a_service_had_on_sqlite_are_told_when_it_is_on_postgres(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "notes.db").touch()
    chosen(tmp_path, "sqlite").store("notes", lambda: None)
    chosen(tmp_path, "postgres").store("orders", lambda: None)
    assert not caplog.messages
    chosen(tmp_path, "postgres").store("notes", lambda: None)
    assert f"notes has data on SQLite in {tmp_path / 'notes.db'}" in caplog.text
