"""Kills the TypeScript service of the shop with -9 at random moments, and starts it again, under traffic.

Four services run in one process of Borough, which pushes events to the fifth in Node; the public door forwards
to both. Some kills are stops instead, some find it away for a while. A round ends in quiet: each event has
its one mail, all ledgers are right, nothing is dead.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from rigs.episodes import ROOT, Fault, Rig
from rigs.fleet.rounds import Rounds, add_arguments
from rigs.fleet.shop import Traffic
from rigs.shop import RiggedShop, Server
from shop.demo.places import Places, Rows
from shop.demo.polyglot import OURS, Parts

PLANTED_PER_ROUND = 20
LIVES_S = 0.8
AWAY_S = 1.0
STOP_EACH = 5
"""Each so many it is asked to stop, and must end well."""
ATTEMPTS = "12"
"""What the product has by default: a receiver that dies so often must use up no event's attempts."""
QUIET_S = 60.0
NAMES = ROOT / "rigs" / "polyglot_names.cjs"
COMPLAINT = '"message":"a request failed"'


class Round:
    """One folder, and what happens to the TypeScript service on it."""

    def __init__(self, folder: Path, seed: int, customers: int, fault: str) -> None:
        parts = self._parts = Parts(ROOT / "examples" / "shop", Places(folder), ("witness",))
        launcher = ("-m", "rigs.planted", fault) if fault == "careless" else ("-m", "borough")
        options = {**parts.environment({}), "BOROUGH_EVENTS_ATTEMPTS": ATTEMPTS}
        self._rigged = RiggedShop(folder, launcher, parts.of_services, options, parts.system)
        self._folder, self._seed, self._customers = folder, seed, customers
        self._preload = ("--require", str(NAMES)) if fault == "names" else ()
        self._foreign: Server | None = None
        self._door: Server | None = None
        self._traffic: Traffic | None = None

    async def start(self) -> None:
        """Start everything; all customers sign up."""
        await self._begin()
        server = await self._rigged.start_server()
        await server.until_ready()
        self._door = await Server.begin(
            self._parts.system,
            self._folder / "door.log",
            self._rigged.environment,
            self._parts.of_door,
        )
        await self._door.until_ready()
        self._traffic = Traffic(self._rigged, self._seed, self._customers)
        self._traffic.door.opens()
        await self._traffic.admit()

    async def _begin(self) -> None:
        command = self._parts.foreign
        self._foreign = await Server.begin_other(
            (*self._preload, *command.arguments),
            self._folder / "notifications.log",
            self._rigged.environment,
            command.program,
        )
        await self._foreign.until_ready()

    async def upset(self, seed: int) -> dict[str, Any]:
        """End the service and start it again; returns what was done. Raises `ServerFailed`."""
        assert self._foreign is not None
        chance = random.Random(seed)
        await asyncio.sleep(chance.uniform(0.05, LIVES_S))
        is_stop = seed % STOP_EACH == 0
        if is_stop:
            await self._foreign.stop()
        else:
            await self._foreign.kill()
        away_s = chance.choice((0.0, 0.0, chance.uniform(0.0, AWAY_S)))
        await asyncio.sleep(away_s)
        await self._begin()
        return {"did": "stop" if is_stop else "kill", "away_s": round(away_s, 3)}

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare. A long round has nothing more to show."""
        assert self._traffic is not None
        assert self._foreign is not None
        assert self._door is not None
        wrong = await self._traffic.end()
        unfinished = await self._rigged.until_quiet(QUIET_S)
        if unfinished:
            wrong.append(f"stuck: after {QUIET_S:.0f} s {'; '.join(unfinished)}")
        await self._door.stop()
        await self._rigged.stop()
        await self._foreign.stop()
        said = (self._folder / "notifications.log").read_text().splitlines()
        wrong += [f"logged: {line}" for line in said if COMPLAINT in line]
        wrong += await asyncio.to_thread(self._rigged.breaches)
        pushed = 0
        for service in OURS:
            with Rows(self._rigged.places.data / f"{service}.db") as rows:
                dead = rows("select handler, cause from borough_dead")
                wrong += [f"lost: {handler} has given up: {cause}" for handler, cause in dead]
                pushed += rows("select count(*) from borough_inbox where handler like '%.push-%'")[
                    0
                ][0]
        return wrong, {**self._traffic.figures, "pushed": pushed}

    async def close(self) -> None:
        """End everything."""
        if self._traffic is not None:
            await self._traffic.close()
        for server in (self._door, self._foreign):
            if server is not None:
                await server.discard()
        await self._rigged.close()


PLANTED = {
    "careless": Fault(3 * PLANTED_PER_ROUND, "lost: "),
    "names": Fault(3 * PLANTED_PER_ROUND, "doubled: "),
}
ROUNDS = Rounds("polyglot", PLANTED_PER_ROUND, Round)
RIG = Rig("kills and stops", ROUNDS.run, PLANTED, add_arguments=add_arguments)
