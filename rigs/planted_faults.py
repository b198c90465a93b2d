"""Starts the shop with one of six faults, and says only where its console is: somebody has to name the fault.

`planted_faults --seed N` picks one and runs until Ctrl-C; `--reveal` tells afterwards which it was, `--list` which
there are. `--check` plants each in turn and waits until `/console/api` shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from rigs.episodes import ROOT
from rigs.launching import module_path
from rigs.pair.system import any_port
from rigs.shop import Server
from rigs.shop_faults import FAULTS as LAUNCHED
from shop.demo.processes import Child

__all__ = ["FAULTS", "main"]

CUSTOMERS = 8
SEEN_WITHIN_S = 90.0
MANY = 20
"""So many events wait for a handler that is too slow for them."""
LOOK_S = 1.0
QUICK = {
    "BOROUGH_EVENTS_ATTEMPTS": "3",
    "BOROUGH_EVENTS_RETRY_FIRST_S": "0.2",
    "BOROUGH_EVENTS_RETRY_LAST_S": "1",
    "BOROUGH_FLEET_RESTARTS": "100000",
    "BOROUGH_FLEET_RESTART_LAST_S": "3",
}
"""Nobody wants to wait for hours until an event is given up, or until it is seen that a process dies again."""
Facts = Mapping[str, Any]


class Planted(NamedTuple):
    """A fault: what it is, how it is planted, and what the console's facts then show."""

    what: str
    is_seen: Callable[[Facts], bool]
    """Whether these facts show it."""
    is_silent: bool = False
    """Whether the card issuer takes everything and never answers."""


def _is_late(now: Facts) -> bool:
    whys = [each["why"] for each in now["slow"]]
    return any("payments" in why and "spent in" in why for why in whys)


def _is_unanswered(now: Facts) -> bool:
    return any("OutcomeUnknown" in json.dumps(view) for view in now["views"])


def _has_dead(now: Facts) -> bool:
    return any("without a price" in group["cause"] for group in now["events"]["dead"])


def _lags(now: Facts) -> bool:
    return _lag_of(now) >= MANY


def _lag_of(facts: Facts) -> int:
    """The largest number of events that a handler of notifications has not handled."""
    handlers = [each for topic in facts["events"]["topics"] for each in topic["handlers"]]
    waiting = [
        each["behind"] or 0 for each in handlers if each["name"].startswith("notifications.")
    ]
    return max(waiting, default=0)


def _comes_and_goes(now: Facts) -> bool:
    said = [each["summary"] for each in now["alerts"]]
    return any("search" in sentence and "crashes again" in sentence for sentence in said)


def _is_full(now: Facts) -> bool:
    return any("are all taken" in json.dumps(view) for view in now["views"])


FAULTS: Mapping[str, Planted] = {
    "payments-slow": Planted("payments takes most of a second for each charge", _is_late),
    "issuer-timing-out": Planted(
        "the card issuer takes requests and never answers", _is_unanswered, is_silent=True
    ),
    "poison-event": Planted("the receipts of every other order cannot be written", _has_dead),
    "lagging-consumer": Planted("notifications is too slow for its events", _lags),
    "crash-loop": Planted("search dies a few seconds after each start", _comes_and_goes),
    "full-pool": Planted("payments has too few threads for what it asks the issuer", _is_full),
}


def picked(seed: int) -> str:
    """The fault of a seed."""
    return random.Random(f"planted {seed}").choice(sorted(FAULTS))


class Stage:
    """The shop with a fault, its issuer and its customers."""

    def __init__(self, folder: Path, fault: str, seed: int) -> None:
        self._folder, self._fault, self._seed = folder, fault, seed
        self._port = any_port()
        self._children: list[Child] = []
        self._server: Server | None = None
        self._client = HttpClient()
        self._hole: asyncio.Server | None = None

    @property
    def console(self) -> str:
        """Where somebody looks."""
        return f"http://127.0.0.1:{self._port}/console"

    async def start(self) -> None:
        """Start everything. Raises `ServerFailed` or `ChildFailed`."""
        planted = FAULTS[self._fault]
        issuer = await self._silent_issuer() if planted.is_silent else await self._issuer()
        environment = dict(os.environ) | {
            "PYTHONPATH": module_path(),
            "BOROUGH_EDGE_PORT": str(self._port),
            "BOROUGH_EDGE_RATE_LIMIT": "1000000/s",
            "BOROUGH_DATA_FOLDER": str(self._folder / "data"),
            "BOROUGH_PAYMENTS_ISSUER_URL": f"http://127.0.0.1:{issuer}",
            **QUICK,
        }
        is_launched = self._fault in LAUNCHED
        launcher = ("-m", "rigs.shop_faults", self._fault) if is_launched else ("-m", "borough")
        self._server = await Server.begin(
            ROOT / "examples" / "shop",
            self._folder / "server.log",
            environment,
            ("--topology", "fleet"),
            launcher,
        )
        await self._server.until_ready()
        edge = f"http://127.0.0.1:{self._port}"
        words = ("--edge", edge, "--ledger", str(self._folder / "answers.jsonl"))
        more = ("--seed", str(self._seed), "--in-flight", str(CUSTOMERS), "--pause", "0.3")
        self._child("customers", "-m", "shop.demo.traffic", *words, "--for", "forever", *more)

    async def _issuer(self) -> int:
        ledger = str(self._folder / "issuer.jsonl")
        issuer = self._child("issuer", "-m", "shop.demo.issuer", "--port", "0", "--ledger", ledger)
        lines: list[str] = []
        while not lines:
            issuer.check()
            lines = await asyncio.to_thread(issuer.lines, 5.0)
        return int(json.loads(lines[0])["ready"])

    async def _silent_issuer(self) -> int:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(65_536):
                pass
            writer.close()

        self._hole = await asyncio.start_server(swallow, "127.0.0.1", 0)
        return int(self._hole.sockets[0].getsockname()[1])

    def _child(self, name: str, *words: str) -> Child:
        environment = dict(os.environ) | {"PYTHONPATH": module_path()}
        child = Child(name, words, self._folder / f"{name}.log", environment)
        self._children.append(child)
        return child

    async def follow(self) -> None:
        """Until the shop ends: nobody reads what the customers say, but it must be taken from them."""
        assert self._server is not None
        ending = asyncio.ensure_future(self._server.ended())
        while not ending.done():
            await asyncio.to_thread(self._children[-1].lines, LOOK_S)

    async def facts(self) -> Facts:
        """What the console knows. Raises `CallError`."""
        slow = await self._ask("/traces?service=payments&at_least_ms=500&limit=5")
        failed = await self._ask("/traces?operation=checkout&at_least_ms=1&limit=10")
        failed += await self._ask("/traces?status=error&limit=10")
        ids = [each["trace_id"] for each in failed]
        return {
            "slow": slow,
            "views": [await self._get(f"/traces/{trace_id}") for trace_id in ids],
            "events": await self._get("/events"),
            "alerts": (await self._get("/alerts")).get("alerts", []),
        }

    async def _ask(self, path: str) -> list[Any]:
        found: list[Any] = (await self._get(path)).get("traces", [])
        return found

    async def _get(self, path: str) -> Any:
        deadline = asyncio.get_running_loop().time() + 10.0
        origin, target = ("127.0.0.1", self._port), f"/console/api{path}"
        answer = await self._client.send(origin, "GET", target, (), b"", deadline)
        return msgspec.json.decode(answer.body)

    async def close(self) -> None:
        """End everything."""
        await self._client.close()
        for child in self._children:
            child.kill()
            if child.process.stdout is not None:
                child.process.stdout.close()
        if self._server is not None and not self._server.has_ended:
            await self._server.stop()
        if self._hole is not None:
            self._hole.close()


@asynccontextmanager
async def staged(fault: str, seed: int) -> AsyncGenerator[Stage]:
    """The shop with this fault, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="borough-planted-") as folder:
        stage = Stage(Path(folder), fault, seed)
        try:
            await stage.start()
            yield stage
        finally:
            await stage.close()


async def seen_after_s(stage: Stage, fault: str) -> float | None:
    """How long it took until the console showed the fault; None: not in time."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    follows = asyncio.ensure_future(stage.follow())
    try:
        while loop.time() < began + SEEN_WITHIN_S:
            await asyncio.sleep(LOOK_S)
            try:
                now = await stage.facts()
            except CallError:
                continue
            if FAULTS[fault].is_seen(now):
                return round(loop.time() - began, 1)
        return None
    finally:
        follows.cancel()
        await asyncio.wait([follows])


async def check(names: Sequence[str], seed: int) -> int:
    """Plant each; returns the exit status."""
    unseen = 0
    for name in names:
        async with staged(name, seed) as stage:
            after_s = await seen_after_s(stage, name)
        unseen += after_s is None
        print(
            f"{name}: " + ("NOT seen" if after_s is None else f"seen after {after_s} s"), flush=True
        )
    return int(unseen > 0)


async def show(fault: str, seed: int) -> int:
    """Run until Ctrl-C."""
    async with staged(fault, seed) as stage:
        print(f"{stage.console}\nCtrl-C ends it; --reveal tells which fault it was.", flush=True)
        await stage.follow()
    return 1  # it should not end by itself


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m rigs planted_faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="picks the fault (1)")
    parser.add_argument("--list", action="store_true", help="the six, and stop")
    parser.add_argument(
        "--reveal", action="store_true", help="which it was the last time, and stop"
    )
    parser.add_argument("--check", nargs="*", metavar="FAULT", help="see that each is seen")
    secret = ROOT / ".rigs" / "planted_fault.json"
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(f"{name}: {planted.what}" for name, planted in FAULTS.items()))
        return 0
    if options.reveal:
        if not secret.exists():
            parser.error("no fault has been planted yet; leave --reveal out")
        told = json.loads(secret.read_text())
        print(f"seed {told['seed']}: {told['fault']}: {told['what']}")
        return 0
    if options.check is None:
        fault = picked(options.seed)
        secret.parent.mkdir(parents=True, exist_ok=True)
        told = {"seed": options.seed, "fault": fault, "what": FAULTS[fault].what}
        secret.write_text(json.dumps(told))
        return asyncio.run(show(fault, options.seed))
    names = options.check or list(FAULTS)
    if strange := sorted(set(names) - FAULTS.keys()):
        parser.error(f"there is no fault {strange[0]}; there are {', '.join(FAULTS)}")
    return asyncio.run(check(names, options.seed))
