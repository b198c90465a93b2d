"""The rig restarts a broker under a shop, and nothing is lost by it."""

import json
from pathlib import Path

from rigs.__main__ import main
from tests.servers.rabbitmq import require_rabbitmq


def test_a_few_restarts_of_rabbitmq_lose_nothing(tmp_path: Path) -> None:
    require_rabbitmq()
    out = tmp_path / "restarts.jsonl"
    arguments = ["--unproven", "--count", "2", "--customers", "4", "--out", str(out)]
    assert main(["broker_restarts", *arguments]) == 0
    episodes = [json.loads(line) for line in out.read_text().splitlines()]
    assert [episode["verdict"] for episode in episodes] == ["good"] * 2
    assert {episode["how"] for episode in episodes} == {"kill", "stop"}
    assert episodes[-1]["orders"] > 0
