"""The rig of volume sends a flood, and finds that what it leaves behind is bounded."""

import json
from pathlib import Path

import pytest

from rigs import volume
from rigs.__main__ import main


def test_a_small_flood_comes_through_once_and_its_sizes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume, "PER_EPISODE", 5_000)
    out = tmp_path / "volume.jsonl"
    assert main(["volume", "--unproven", "--count", "1", "--out", str(out)]) == 0
    (episode,) = [json.loads(line) for line in out.read_text().splitlines()]
    assert episode["through"] == 5_000
    assert episode["log_bytes"] > 1_000_000
    assert episode["inbox_rows"] > 0
