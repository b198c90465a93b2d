"""Kills and pauses the processes of a fleet at random, replicas, door and supervisor, one after the other.

The shop runs as a fleet under its customers' traffic. Most episodes kill a process with -9, some stop
one for longer than a lease. Where the supervisor is killed all must end, and a new one begins on the
same data. A round ends in quiet: the ledgers are right, and nobody holds more than at first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from rigs.episodes import Episode, Fault, Rig
from rigs.fleet.shop import FleetShop, Traffic
from rigs.shop import LEASE_S, ServerFailed

CUSTOMERS = 12
PER_ROUND = 60
PLANTED_PER_ROUND = 12
LONG_ROUND = 20
"""From so many on a round waits in the end until connections that are kept are closed."""
PAUSE_EACH = 6
SUPERVISOR_EACH = 20
PAUSES_IN_LEASES = (1.1, 2.5)
LIVES_S = 0.6
ALONE = 0.7
"""How often a fleet may become whole again before the next is hit."""


class Round:
    """One folder, and what happens to the fleet on it."""

    def __init__(self, folder: Path, seed: int, customers: int, fault: str) -> None:
        self._shop = FleetShop(folder, fault)
        self._traffic = Traffic(self._shop, seed, customers)
        self.wrong: list[str] = []

    async def start(self) -> None:
        """Start the fleet; all customers sign up."""
        await self._shop.start()
        await self._shop.remember()
        await self._traffic.admit()

    async def upset(self, seed: int) -> dict[str, Any]:
        """Hit one process; returns what was done. Raises `ServerFailed` where all does not go on."""
        chance = random.Random(seed)
        await asyncio.sleep(chance.uniform(0.0, LIVES_S))
        is_pause = seed % PAUSE_EACH == 0
        if seed % SUPERVISOR_EACH == SUPERVISOR_EACH - 1:
            return await self._upset_supervisor()
        members = self._shop.members()
        name = chance.choice(sorted(members))
        facts = {"did": "pause" if is_pause else "kill", "whom": name}
        if is_pause:
            await self._pause(members[name], LEASE_S * chance.uniform(*PAUSES_IN_LEASES))
        else:
            _send(members[name], signal.SIGKILL)
        if chance.random() < ALONE:
            await self._shop.until_whole()
        return facts

    async def _pause(self, pid: int, pause_s: float) -> None:
        _send(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(pause_s)
        finally:
            _send(pid, signal.SIGCONT)

    async def _upset_supervisor(self) -> dict[str, Any]:
        self.wrong += await self._shop.kill_supervisor()
        await self._shop.start()
        return {"did": "kill", "whom": "supervisor"}

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare."""
        wrong = await self._shop.judge(self._traffic, is_long=is_long)
        return [*self.wrong, *wrong], self._traffic.figures

    async def close(self) -> None:
        """End everything."""
        await self._traffic.close()
        await self._shop.close()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


async def play(
    folder: Path, seeds: Sequence[int], customers: int, planted: str | None
) -> list[Episode]:
    """One round."""
    trial = Round(folder, seeds[0], customers, planted or "")
    facts: dict[int, dict[str, Any]] = {seed: {} for seed in seeds}
    try:
        await trial.start()
        for seed in seeds:
            facts[seed] = await trial.upset(seed)
        wrong, figures = await trial.judge(is_long=len(seeds) >= LONG_ROUND)
        facts[seeds[-1]] |= figures
    except ServerFailed as error:
        wrong = [*trial.wrong, f"stuck: {error}"]
    finally:
        await trial.close()
    told = [f"the round of seeds {seeds[0]}-{seeds[-1]} is wrong: see its last"] if wrong else []
    episodes = [Episode(seed, told, facts[seed]) for seed in seeds[:-1]]
    return [*episodes, Episode(seeds[-1], wrong, facts[seeds[-1]])]


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """Round after round; a bad one leaves its folder."""
    size = PLANTED_PER_ROUND if planted is not None else options.round
    for first in range(0, len(seeds), size):
        folder = Path(tempfile.mkdtemp(prefix="borough-fleet-"))
        is_bad = True
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                part = seeds[first : first + size]
                episodes = runner.run(play(folder, part, options.customers, planted))
            is_bad = any(episode.wrong for episode in episodes) and planted is None
        finally:
            if not is_bad:
                shutil.rmtree(folder, ignore_errors=True)
        if is_bad:
            print(f"fleet_crash: everything is kept in {folder}", flush=True)
        yield from episodes


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--round", type=int, default=PER_ROUND, help=f"episodes per folder ({PER_ROUND})"
    )
    parser.add_argument(
        "--customers", type=int, default=CUSTOMERS, help=f"who buy at once ({CUSTOMERS})"
    )


PLANTED = {
    "inbox": Fault(4 * PLANTED_PER_ROUND, "doubled: "),
    "orphans": Fault(2 * PLANTED_PER_ROUND, "left behind: "),
    "leak": Fault(PLANTED_PER_ROUND, "leaked: "),
}
RIG = Rig("kills and pauses", run, PLANTED, add_arguments=_add_arguments)
