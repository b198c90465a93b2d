"""A rig goes on where it was, believes only this commit, and finds its planted faults first."""

import argparse
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rigs.__main__ import NAMES, add_rig, main, run_rig
from rigs.episodes import Episode, Episodes, Fault, Rig, commit_of


class Tried:
    """A rig whose seeds go wrong as told."""

    def __init__(self, bad: set[int], seen_in: int | None = 2) -> None:
        self.bad = bad
        self.seen_in = seen_in
        self.seeds: list[int] = []
        self.closed = 0

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--speed", type=int, default=3)

    def run(self, options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
        assert options.speed in (3, 4)
        try:
            for number, seed in enumerate(seeds, 1):
                if planted is None:
                    self.seeds.append(seed)
                    yield Episode(seed, ["it is bad"] if seed in self.bad else [], {"kills": 4})
                else:
                    yield Episode(seed, ["planted"] if number == self.seen_in else ["other"])
        finally:
            self.closed += 1


def run(rig: Tried, out: Path, *arguments: str, variant: str = "") -> int:
    offered = Rig(
        "looks",
        rig.run,
        {"broken": Fault(3, "planted")},
        variant=variant,
        add_arguments=rig.add_arguments,
    )
    parser = argparse.ArgumentParser()
    add_rig(parser.add_subparsers(dest="name"), "tried", offered, "tries")
    options = parser.parse_args(["tried", "--out", str(out), *arguments])
    return run_rig("tried", offered, options)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_every_episode_is_written_down_with_commit_seed_and_verdict(tmp_path: Path) -> None:
    out = tmp_path / "rigs" / "tried.jsonl"
    assert run(Tried(set()), out, "--count", "3", "--seed", "7") == 0
    found = lines(out)
    assert [(line["seed"], line["verdict"]) for line in found] == [
        (7, "unseen"),
        (8, "caught"),
        (7, "good"),
        (8, "good"),
        (9, "good"),
    ]
    assert {line["commit"] for line in found} == {commit_of()}
    assert found[-1]["kills"] == 4


def test_it_goes_on_where_it_was_and_proves_itself_once(tmp_path: Path) -> None:
    out = tmp_path / "tried.jsonl"
    assert run(Tried(set()), out, "--count", "2") == 0
    more = Tried(set(), seen_in=None)
    assert run(more, out, "--count", "5") == 0
    assert more.seeds == [3, 4, 5]


def test_what_is_good_for_one_variant_is_not_good_for_another(tmp_path: Path) -> None:
    out = tmp_path / "tried.jsonl"
    assert run(Tried(set()), out, "--count", "2", variant="speed") == 0
    other, same = Tried(set()), Tried(set())
    assert run(other, out, "--count", "2", "--speed", "4", variant="speed") == 0
    assert run(same, out, "--count", "2", variant="speed") == 0
    assert (other.seeds, same.seeds) == ([1, 2], [])


def test_a_bad_episode_ends_in_status_1_names_its_seed_and_is_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tried.jsonl"
    rig = Tried({2})
    assert run(rig, out, "--count", "3") == 1
    assert rig.seeds == [1, 2, 3]
    told = capsys.readouterr().out
    assert "BAD seed 2" in told
    assert "it is bad" in told
    assert "2 of 3 episodes good, 1 bad" in told
    mended = Tried(set())
    assert run(mended, out, "--count", "3") == 0
    assert mended.seeds == [2]


def test_a_rig_that_does_not_see_its_planted_fault_tries_nothing(tmp_path: Path) -> None:
    rig = Tried(set(), seen_in=None)
    assert run(rig, tmp_path / "tried.jsonl", "--count", "3") == 1
    assert rig.seeds == []
    assert rig.closed == 1


@pytest.mark.parametrize(("seen_in", "status"), [(3, 0), (None, 1)])
def test_planted_alone_says_whether_the_fault_is_seen(
    tmp_path: Path, seen_in: int | None, status: int
) -> None:
    rig = Tried(set(), seen_in)
    assert run(rig, tmp_path / "tried.jsonl", "--planted", "broken") == status
    assert rig.seeds == []


def test_episodes_of_other_code_and_torn_lines_count_for_nothing(tmp_path: Path) -> None:
    out = tmp_path / "tried.jsonl"
    for commit in ("old", "new"):
        episodes = Episodes(out, "tried", commit)
        episodes.add(Episode(1 if commit == "old" else 2))
        episodes.close()
    with out.open("ab") as file:
        file.write(b'{"rig": "tried", "commit": "new", "seed": 3, "verd')
    episodes = Episodes(out, "tried", "new")
    assert episodes.wanted(1, 3) == [1, 3]
    episodes.add(Episode(3))
    episodes.close()
    assert json.loads(out.read_bytes().splitlines()[-1])["seed"] == 3


def test_code_that_is_not_committed_is_a_commit_of_its_own(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "--quiet", "-m", "One")
    clean = commit_of(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a.py").write_text("2")
    changed = commit_of(tmp_path)
    assert changed.startswith(f"{clean}-dirty-")
    (tmp_path / "b.py").write_text("3")
    assert commit_of(tmp_path) not in (clean, changed)


def test_every_rig_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(name in told for name in NAMES)
