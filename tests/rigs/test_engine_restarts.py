"""The rig restarts an engine under a shop, and nothing is lost by it."""

import json
from pathlib import Path
from typing import Any

from borough.engines.postgres import postgres_is_installed
from rigs.__main__ import main
from tests.requirements import require_tool
from tests.servers.rabbitmq import require_rabbitmq


def _restarted(engine: str, out: Path) -> list[Any]:
    """Two restarts that were good."""
    arguments = ["--engine", engine, "--unproven", "--count", "2", "--customers", "4"]
    assert main(["engine_restarts", *arguments, "--out", str(out)]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good"] * 2
    assert episodes[-1]["orders"] > 0
    return [episode["how"] for episode in episodes]


def test_a_few_restarts_of_rabbitmq_lose_nothing(tmp_path: Path) -> None:
    require_rabbitmq()
    assert set(_restarted("rabbitmq", tmp_path / "restarts.jsonl")) == {"kill", "stop"}


def test_a_few_immediate_stops_of_postgresql_lose_nothing(tmp_path: Path) -> None:
    require_tool("PostgreSQL", postgres_is_installed())
    assert set(_restarted("postgres", tmp_path / "restarts.jsonl")) == {"stop_at_once"}
