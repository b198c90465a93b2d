"""Kills and pauses the processes of a fleet at random, replicas, door and supervisor, one after the other.

The shop runs as a fleet under its customers' traffic. Most episodes kill a process with -9, some stop
one for longer than a lease. Where the supervisor is killed all must end, and a new one begins on the
same data. A round ends in quiet: the ledgers are right, and nobody holds more than at first.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from rigs.episodes import Fault, Rig
from rigs.fleet.rounds import Rounds, add_arguments
from rigs.fleet.shop import FleetShop, Traffic
from rigs.shop import LEASE_S

PLANTED_PER_ROUND = 12
PAUSE_EACH = 6
SUPERVISOR_EACH = 20
SUPERVISOR_AT = 7
PAUSED_SUPERVISOR_EACH = 4
"""Of supervisors that are hit, every fourth is paused; the others are killed, and all below them must end."""
PAUSES_IN_LEASES = (1.1, 2.5)
LIVES_S = 0.6
ALONE = 0.7
"""How often a fleet may become whole again before the next is hit."""


class Round:
    """One folder, and what happens to the fleet on it."""

    def __init__(self, folder: Path, seed: int, customers: int, fault: str) -> None:
        self._shop = FleetShop(folder, fault)
        self._seed = seed
        self._customers = customers
        self._traffic: Traffic | None = None
        self._wrong: list[str] = []

    async def start(self) -> None:
        """Start the fleet; all customers sign up."""
        await self._shop.start()
        await self._shop.remember()
        self._traffic = Traffic(self._shop.rigged, self._seed, self._customers)
        await self._traffic.admit()

    async def upset(self, seed: int) -> dict[str, Any]:
        """Hit one process; returns what was done. Raises `ServerFailed` where all does not go on."""
        chance = random.Random(seed)
        await asyncio.sleep(chance.uniform(0.0, LIVES_S))
        is_pause = seed % PAUSE_EACH == 0
        if seed % SUPERVISOR_EACH == SUPERVISOR_AT:
            is_last = PAUSED_SUPERVISOR_EACH - 1
            is_pause = seed // SUPERVISOR_EACH % PAUSED_SUPERVISOR_EACH == is_last
            return await self._upset_supervisor(chance, is_pause=is_pause)
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

    async def _upset_supervisor(self, chance: random.Random, *, is_pause: bool) -> dict[str, Any]:
        if is_pause:
            assert self._shop.server is not None
            await self._pause(self._shop.server.pid, LEASE_S * chance.uniform(*PAUSES_IN_LEASES))
            await self._shop.until_whole()
            return {"did": "pause", "whom": "supervisor"}
        self._wrong += await self._shop.kill_supervisor()
        await self._shop.start()
        return {"did": "kill", "whom": "supervisor"}

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare."""
        assert self._traffic is not None
        wrong = await self._shop.judge(self._traffic, is_long=is_long)
        return [*self._wrong, *wrong], self._traffic.figures

    async def close(self) -> None:
        """End everything."""
        if self._traffic is not None:
            await self._traffic.close()
        await self._shop.close()


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


PLANTED = {
    "inbox": Fault(4 * PLANTED_PER_ROUND, "doubled: "),
    # Seen where a supervisor is killed, as one is in so many episodes, whichever is the first.
    "orphans": Fault(4 * PLANTED_PER_ROUND, "left behind: "),
    "leak": Fault(PLANTED_PER_ROUND, "leaked: "),
}
ROUNDS = Rounds("fleet_crash", PLANTED_PER_ROUND, Round)
RIG = Rig("kills and pauses", ROUNDS.run, PLANTED, add_arguments=add_arguments)
