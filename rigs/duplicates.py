"""Delivers every event one to five times and out of order, with kills between: each takes effect once.

The pair runs on a broker of the rig's own. Order per key must hold, for both forms of handlers, and
effects must equal the events that were published.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from rigs.episodes import Episode, Fault, Rig
from rigs.launching import module_path
from rigs.pair.system import Pair
from rigs.unruly import MOST_COPIES, WRITERS, Task
from shop.demo.places import Rows

PER_EPISODE = 20_000
HANDLERS = 2
KILLS = 2
LOOK_S = 0.05
END_S = 300.0


class Process:
    """One folder, on which a process lives several times."""

    def __init__(self, folder: Path, task: Task) -> None:
        self._folder = folder
        self._task = task
        self._log = folder / "process.log"
        self._environment = dict(os.environ) | {"PYTHONPATH": module_path()}

    def live(self, kill_at: int | None) -> list[str]:
        """Let the process live until it has done all, or until it has noted so many effects."""
        ends_s = time.monotonic() + END_S
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rigs.unruly", json.dumps(self._task._asdict())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        try:
            while process.poll() is None:
                if kill_at is not None and self._effects() >= kill_at:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    return []
                if time.monotonic() > ends_s:
                    return [f"stuck: {self._effects()} effects after {END_S:.0f} s"]
                time.sleep(LOOK_S)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            words = self._log.read_text(errors="replace").splitlines()[-3:]
            return [f"the process ended with status {process.returncode}: {' | '.join(words)}"]
        return []

    def _effects(self) -> int:
        path = self._folder / "data" / "sink.db"
        try:
            with Rows(path) as rows:
                return int(rows("select count(*) from borough_inbox")[0][0])
        except apsw.Error:  # not made yet
            return 0

    def deliveries(self) -> int:
        """How many the broker has made."""
        counts = (self._folder / "queues").glob("*.delivered")
        return sum(int(line) for path in counts for line in path.read_text().split())


def try_seed(
    folder: Path, seed: int, planted: str | None = None, deliveries: int = PER_EPISODE
) -> Episode:
    """One episode of at least so many deliveries, in a folder that is there."""
    chance = random.Random(seed)
    copies = (1 + MOST_COPIES) / 2
    notes = -(-deliveries // int(HANDLERS * copies * WRITERS))
    effects = HANDLERS * notes * WRITERS
    process = Process(folder, Task(str(folder), seed, notes, planted or ""))
    wrong: list[str] = []
    moments = sorted(chance.randrange(effects) for _ in range(KILLS))
    for kill_at in (*moments, None):
        wrong += process.live(kill_at)
    if not wrong:
        pair = Pair(folder, 1.0)
        wrong += pair.breaches([])
    facts = {"events": effects // HANDLERS, "deliveries": process.deliveries(), "kills": KILLS}
    if not wrong and facts["deliveries"] < deliveries:
        wrong.append(f"only {facts['deliveries']} deliveries were made")
    return Episode(seed, wrong, facts)


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One folder for each seed; a bad one is left."""
    for seed in seeds:
        folder = Path(tempfile.mkdtemp(prefix="borough-duplicates-"))
        episode = try_seed(folder, seed, planted)
        if episode.wrong and planted is None:
            print(f"duplicates: everything is kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        yield episode


PLANTED = {"inbox": Fault(1, "doubled: "), "order": Fault(1, "disorder: ")}
RIG = Rig("deliveries", run, PLANTED, per_episode=PER_EPISODE)
