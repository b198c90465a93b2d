"""The benchmark `outbox` once more on slower disks: what group commit gains depends on what a sync takes.

A disk is made slower by waiting after each sync, in both SQLite libraries that take part (that of apsw and Python's
own): a function of C in front of the system's, so a C compiler is needed. No bar is judged here.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.children import ROOT
from benchmarks.report import Report, Series

WHAT = "as `outbox`, where each sync takes so much longer than on the disk at hand"
LONGER_US = (0, 300, 1000, 5000)
TOLD = ("borough over aiosqlite", "bare apsw over aiosqlite", "borough as a share of bare apsw")
_GROUP_BYTES = 40_000  # about what a group of 64 writes into the WAL
_SYNCS = 200


class _Kept(msgspec.Struct):
    """What `--json` leaves."""

    reports: list[Report]


def measure(rounds: int) -> Report:
    """All disks, one after another."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit(
            "outbox_disks needs a C compiler (cc); on Debian: apt-get install gcc libc6-dev"
        )
    report = Report("outbox_disks", WHAT)
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as name:
        folder = Path(name)
        library = folder / "slower_sync.so"
        source = Path(__file__).with_name("slower_sync.c")
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
        )
        report.add(Series("a sync of 40 kB on this disk", "us", _syncs_us(folder)))
        for longer_us in LONGER_US:
            found = {each.name: each for each in _on(library, longer_us, rounds, folder).series}
            for told in TOLD:
                report.add(Series(f"{longer_us} us longer: {told}", "x", found[told].values))
    return report


def _on(library: Path, longer_us: int, rounds: int, folder: Path) -> Report:
    kept = folder / f"{longer_us}.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "outbox", "--rounds", str(rounds), "--json", kept],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library), "SLOWER_SYNC_US": str(longer_us)},
        stdout=subprocess.DEVNULL,
        check=False,  # 1 is a missed bar
    )
    return msgspec.json.decode(kept.read_bytes(), type=_Kept).reports[0]


def _syncs_us(folder: Path) -> list[float]:
    """What `fdatasync` takes behind a group's bytes: medians of a few runs."""
    medians: list[float] = []
    with open(folder / "syncs", "wb", buffering=0) as file:
        for _ in range(5):
            taken: list[float] = []
            for _ in range(_SYNCS):
                file.write(bytes(_GROUP_BYTES))
                begun = time.perf_counter()
                os.fdatasync(file.fileno())
                taken.append((time.perf_counter() - begun) * 1e6)
            medians.append(statistics.median(taken))
    return medians
