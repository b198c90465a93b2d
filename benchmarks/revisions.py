"""The same benchmark on this tree and on an earlier revision, in turn, round by round."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.report import Report, Series

__all__ = ["compare"]

ROOT = Path(__file__).parent.parent
OWN = "borough"
SLOWER = 0.9


def compare(name: str, revision: str, rounds: int) -> Report:
    """How Borough's own rates have changed since `revision`, as ratios of neighbouring rounds.

    Exits where it has none.
    """
    report = Report(
        f"{name} since {revision}", f"this tree over {revision}, in turn; peers left out"
    )
    now: dict[str, Series] = {}
    before: dict[str, Series] = {}
    with _checked_out(revision) as base:
        for turn in range(rounds):
            trees = [(ROOT, now), (base, before)]
            for tree, found in trees if turn % 2 else reversed(trees):
                for series in _measure(tree, name):
                    found.setdefault(series.name, Series(series.name, series.unit)).values.append(
                        series.values[0]
                    )
    for own, series in now.items():
        is_rate = series.unit.endswith("/s")
        is_time = series.unit == "us" and not own.endswith(("CPU", "p50"))
        if not own.startswith(OWN) or own not in before or not (is_rate or is_time):
            continue
        report.add(series)
        faster, slower = (series, before[own]) if is_rate else (before[own], series)
        ratio = faster.over(slower, f"{own}: speed over {revision}")
        report.hold(report.add(ratio), at_least=SLOWER)
    if not report.series:
        sys.exit(f"{name} has no rate or time of a call of Borough's own; measure both trees apart")
    return report


@contextmanager
def _checked_out(revision: str) -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="borough-base-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), revision], check=True)
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


class _Found(msgspec.Struct):
    reports: Sequence[Report]


def _measure(tree: Path, name: str) -> Sequence[Series]:
    """One round in a process of its own, with the tree's own package."""
    with tempfile.NamedTemporaryFile(suffix=".json") as said:
        words = [sys.executable, "-m", "benchmarks", name, "--rounds", "1", "--json", said.name]
        places = os.pathsep.join(str(tree / part) for part in ("src", ".", "examples"))
        subprocess.run(
            words,
            cwd=tree,
            env={**os.environ, "PYTHONPATH": places},
            stdout=subprocess.DEVNULL,
            check=False,  # one round may miss its bars
        )
        (report,) = msgspec.json.decode(Path(said.name).read_bytes(), type=_Found).reports
    return report.series
