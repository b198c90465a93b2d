"""Calls are judged by what their callers were told and by what has happened."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rigs.__main__ import main
from rigs.links import judge

GOOD = {"recovered": True}


def call(outcome: str, *, safe: bool = False, took_s: float = 0.1) -> dict[str, Any]:
    return {"number": 1, "safe": safe, "outcome": outcome, "took_s": took_s}


@pytest.mark.parametrize(
    ("told", "marks", "words"),
    [
        ([call("answered"), GOOD], {1: 1}, []),
        ([call("answered", safe=True), GOOD], {}, []),
        ([call("ServiceFailure"), GOOD], {1: 1}, []),
        ([call("ServiceFailure"), GOOD], {}, []),
        ([call("Unavailable"), GOOD], {1: 1}, ["wrong outcome"]),
        ([call("answered"), GOOD], {}, ["lost"]),
        ([call("answered"), GOOD], {1: 2}, ["twice", "lost"]),
        ([call("DeadlineExceeded", took_s=9.0), GOOD], {}, ["late"]),
        ([call("wrong: 2:x"), GOOD], {1: 1}, ["wrong outcome"]),
        ([call("answered"), {"recovered": False}], {1: 1}, ["not recovered"]),
        ([], {}, ["not recovered"]),
    ],
)
def test_a_verdict_on_calls(
    told: list[dict[str, Any]], marks: Mapping[int, int], words: list[str]
) -> None:
    assert [sentence.partition(":")[0] for sentence in judge(told, marks)] == words


def test_an_episode_across_a_bad_link_is_good(tmp_path: Path) -> None:
    out = tmp_path / "links.jsonl"
    assert main(["links", "--unproven", "--count", "1", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["verdict"] == "good"
