"""Spoils the links between the processes of a fleet, one after the other, in every way and direction.

The shop runs as a fleet under its customers' traffic, and every replica is found at a toxic proxy: by
the door, and by the services that call it. An episode is one fault of one link, and the link must
carry calls again after it. A round ends in quiet: the ledgers are right, no process has ended, and
nobody holds more than at first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from rigs.episodes import Fault, Rig
from rigs.fleet.rounds import Rounds, add_arguments
from rigs.fleet.shop import MEMBERS, FleetShop, Traffic
from rigs.pair.system import any_port
from rigs.toxic import CLEAN, ToxicProxy, Toxics

PLANTED_PER_ROUND = 24
KINDS = ("delay", "cut", "reset", "half-open", "slow", "truncated")
DIRECTIONS = ("up", "down", "both")
LASTS_S = (0.3, 1.5)
PAUSE_S = 0.3
RECOVER_S = 15.0
PROBE_S = 1.0
REPLICAS = tuple(sorted(MEMBERS - {"edge.1"}))


def toxics_of(kind: str, chance: random.Random) -> Toxics:
    """One way in which a direction goes bad. A cut is no matter of a direction: the proxy goes down."""
    match kind:
        case "delay":
            return Toxics(latency_s=chance.uniform(0.1, 0.8), jitter_s=chance.uniform(0.0, 0.5))
        case "reset":
            return Toxics(reset_after=chance.randrange(0, 2_000))
        case "half-open":
            return Toxics(is_black_hole=True)
        case "slow":
            return Toxics(bytes_per_s=chance.uniform(200, 5_000), slow_close_s=chance.random())
        case "truncated":
            return Toxics(limit_bytes=chance.randrange(1, 2_000))
        case _:
            return CLEAN


class Round:
    """One folder, and what happens to the links of the fleet on it."""

    def __init__(self, folder: Path, seed: int, customers: int, fault: str) -> None:
        ports: set[int] = set()
        while len(ports) < len(REPLICAS):
            ports.add(any_port())
        self._doors = dict(zip(REPLICAS, sorted(ports), strict=True))
        self._shop = FleetShop(folder, fault, self._doors)
        self._seed = seed
        self._customers = customers
        self._traffic: Traffic | None = None
        self._chance = random.Random(seed)
        self._proxies: dict[str, ToxicProxy] = {}
        self._client = HttpClient()
        self._pids: Mapping[str, int] = {}
        self._wrong: list[str] = []

    async def start(self) -> None:
        """Start the fleet and the links between its processes; all customers sign up."""
        announced = await self._shop.start()
        for each in announced["replicas"]:
            if each["internal"] is not None:
                place = urlsplit(each["internal"])
                assert place.hostname is not None
                assert place.port is not None
                name = each["replica"]
                proxy = ToxicProxy((place.hostname, place.port), self._chance)
                self._proxies[name] = proxy
                await proxy.open(self._doors[name])
        self._pids = self._shop.members()
        await self._shop.remember()
        self._traffic = Traffic(self._shop.rigged, self._seed, self._customers)
        await self._traffic.admit()

    async def upset(self, seed: int) -> dict[str, Any]:
        """Spoil one link for a while, and see it carry calls again; returns what was done."""
        chance = random.Random(seed)
        kind = KINDS[seed % len(KINDS)]
        direction = DIRECTIONS[seed // len(KINDS) % len(DIRECTIONS)]
        name = chance.choice(REPLICAS)
        proxy = self._proxies[name]
        before = proxy.connections
        if kind == "cut":
            await proxy.go_down()
        if direction in ("up", "both"):
            proxy.up = toxics_of(kind, chance)
        if direction in ("down", "both"):
            proxy.down = toxics_of(kind, chance)
        await asyncio.sleep(chance.uniform(*LASTS_S))
        proxy.up = proxy.down = CLEAN
        await proxy.open()
        took_s = await self._until_recovered(name.partition(".")[0])
        await asyncio.sleep(chance.uniform(0.0, PAUSE_S))
        facts = {"kind": kind, "link": name, "connections": proxy.connections - before}
        if kind != "cut":
            facts["direction"] = direction
        if took_s is None:
            self._wrong.append(f"not recovered: {name} after {kind} {direction} (seed {seed})")
        else:
            facts["recovered_ms"] = round(took_s * 1000)
        return facts

    async def _until_recovered(self, service: str) -> float | None:
        """How long it takes until the service itself answers through the door; None for too long."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        target = f"/{service}/nothing-is-here"
        while loop.time() - began < RECOVER_S:
            asked = loop.time()
            try:
                answer = await self._client.send(
                    self._shop.rigged.origin, "GET", target, deadline=asked + PROBE_S
                )
            except CallError:
                continue
            if answer.status < 500:
                return loop.time() - began
            await asyncio.sleep(0.05)
        return None

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end, and compare."""
        assert self._traffic is not None
        now = self._shop.members()
        ended = sorted(name for name, pid in self._pids.items() if now.get(name) != pid)
        wrong = [f"ended: the process of {name}, for a link went bad" for name in ended]
        await self._client.close()
        wrong += await self._shop.judge(self._traffic, is_long=is_long)
        return [*self._wrong, *wrong], self._traffic.figures

    async def close(self) -> None:
        """End everything."""
        await self._client.close()
        if self._traffic is not None:
            await self._traffic.close()
        await self._shop.close()
        for proxy in self._proxies.values():
            await proxy.close()


PLANTED = {
    "optimism": Fault(4 * PLANTED_PER_ROUND, "lost: note "),
    "leak": Fault(PLANTED_PER_ROUND, "leaked: "),
}
ROUNDS = Rounds("fleet_links", PLANTED_PER_ROUND, Round)
RIG = Rig("link faults", ROUNDS.run, PLANTED, add_arguments=add_arguments)
