"""Kills the TypeScript service of the shop with -9 at random moments, under traffic; its supervisor begins it anew.

Four services run in one process of Borough, which pushes events to the fifth in Node; the public door forwards
to both. Some kills are stops instead; how long it is away is the supervisor's choice. A round ends in quiet:
each event has its one mail, all ledgers are right, nothing is dead.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from pathlib import Path
from typing import Any

import msgspec

from borough.fleet.commands import Members, ask_fleet
from rigs.episodes import ROOT, Fault, Rig
from rigs.fleet.launcher import Plan
from rigs.fleet.rounds import Rounds, add_arguments
from rigs.fleet.shop import Traffic
from rigs.shop import PLAIN, RiggedShop, ServerFailed
from shop.demo.flags import as_flags
from shop.demo.places import SERVICES, Places, Rows
from shop.demo.polyglot import FOREIGN, Polyglot

PLANTED_PER_ROUND = 20
LIVES_S = 0.8
STOP_EACH = 5
"""Each so many it is asked to stop, and must end well."""
OPTIONS = {
    "BOROUGH_EVENTS_ATTEMPTS": "12",
    "BOROUGH_FLEET_RESTARTS": "100000",  # a rig kills more often than a sound system ends
    "BOROUGH_FLEET_RESTART_LAST_S": "1",
}
"""Attempts are what the product has by default: a receiver that dies so often must use up no event's."""
BACK_S = 60.0
LOOK_S = 0.05
QUIET_S = 60.0
NAMES = ROOT / "rigs" / "polyglot_names.cjs"
COMPLAINT = '"message":"a request failed"'
ENDED_BADLY = re.compile(
    rf"^{FOREIGN}\.1 .*has ended by itself with status (?!0\b).*", re.MULTILINE
)


class Round:
    """One folder, and what happens to the TypeScript service on it."""

    def __init__(self, folder: Path, seed: int, customers: int, fault: str) -> None:
        polyglot = Polyglot(ROOT / "examples" / "shop", Places(folder))
        plan = msgspec.json.encode(Plan(str(folder), fault)).decode()
        launcher = ("-m", "rigs.fleet.launcher", plan) if fault == "careless" else PLAIN
        options = {**polyglot.environment({}), **OPTIONS}
        if fault == "names":
            options["NODE_OPTIONS"] = f"--require={NAMES}"
        flags = as_flags(polyglot.flags({}))
        self._rigged = RiggedShop(folder, launcher, flags, options, polyglot.system)
        self._seed, self._customers = seed, customers
        self._traffic: Traffic | None = None

    async def start(self) -> None:
        """Start everything; all customers sign up."""
        server = await self._rigged.start_server()
        await server.until_ready()
        self._traffic = Traffic(self._rigged, self._seed, self._customers)
        self._traffic.door.opens()
        await self._traffic.admit()

    async def _back(self, but: int) -> int:
        """Wait until the service is ready in another process than that; returns it. Raises `ServerFailed`."""
        ends = asyncio.get_running_loop().time() + BACK_S
        while asyncio.get_running_loop().time() < ends:
            answer = await asyncio.to_thread(ask_fleet, self._rigged.places.data, Members())
            for member in answer.facts["members"]:
                is_it = member["name"] == f"{FOREIGN}.1" and member["state"] == "ready"
                if is_it and member["pid"] != but:
                    return int(member["pid"])
            await asyncio.sleep(LOOK_S)
        raise ServerFailed(f"{FOREIGN} has not been begun anew within {BACK_S:g} s")

    async def upset(self, seed: int) -> dict[str, Any]:
        """End the service, and see it back; returns what was done. Raises `ServerFailed`."""
        chance = random.Random(seed)
        pid = await self._back(0)
        await asyncio.sleep(chance.uniform(0.05, LIVES_S))
        is_stop = seed % STOP_EACH == 0
        began = asyncio.get_running_loop().time()
        os.kill(pid, signal.SIGTERM if is_stop else signal.SIGKILL)
        await self._back(pid)
        away_s = asyncio.get_running_loop().time() - began
        return {"did": "stop" if is_stop else "kill", "away_s": round(away_s, 3)}

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare. A long round has nothing more to show."""
        assert self._traffic is not None
        wrong = await self._traffic.end()
        unfinished = await self._rigged.until_quiet(QUIET_S)
        if unfinished:
            wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        await self._rigged.stop()
        said = self._rigged.log.read_text()
        wrong += [f"logged: {line}" for line in said.splitlines() if COMPLAINT in line]
        wrong += [f"stuck: {line}" for line in ENDED_BADLY.findall(said)]
        wrong += await asyncio.to_thread(self._rigged.breaches)
        pushed = 0
        for service in SERVICES:
            if service == FOREIGN:
                continue
            with Rows(self._rigged.places.data / f"{service}.db") as rows:
                dead = rows("select handler, cause from borough_dead")
                wrong += [f"lost: {handler} has given up: {cause}" for handler, cause in dead]
                inbox = "select count(*) from borough_inbox where handler like '%.push-%'"
                pushed += rows(inbox)[0][0]
        return wrong, {**self._traffic.figures, "pushed": pushed}

    async def close(self) -> None:
        """End everything."""
        if self._traffic is not None:
            await self._traffic.close()
        await self._rigged.close()


PLANTED = {
    "careless": Fault(3 * PLANTED_PER_ROUND, "lost: "),
    "names": Fault(3 * PLANTED_PER_ROUND, "doubled: "),
}
ROUNDS = Rounds("polyglot", PLANTED_PER_ROUND, Round)
RIG = Rig("kills and stops", ROUNDS.run, PLANTED, add_arguments=add_arguments)
