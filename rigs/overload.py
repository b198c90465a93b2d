"""Five times what a service can do, open loop: it goes on doing what it can, and is itself again soon after.

An episode is one kind: `grind`, 5 ms of CPU without an await, or `fetch`, 5 ms with one of two pooled
things. First the peak is measured in a closed loop, and half of it as the normal; then comes the flood, then
half again. Good is an arrival with the right answer within its deadline, counted from its scheduled time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from rigs.episodes import Episode, Fault, Rig
from rigs.launching import module_path
from rigs.open_loop import Load, Outcome, kinds_of
from rigs.pair.system import any_port
from rigs.shop import Server

SYSTEM = """
[system]
name = "mill"

[services.mill]
module = "rigs.mill.mill.service"
"""
KINDS = {"grind": "/mill/ground", "fetch": "/mill/fetched"}
CALLERS = (4, 8)
PEAK_S = 3.0
CALM_S = 5.0
AFTER_S = 8.0
TIMES = 5
LEAST_SHARE = 0.85
NORMAL_WITHIN_S = 5.0
PLANTED_S = 8.0
OFF = {"BOROUGH_LIMITS_CALLS_IN_FLIGHT": "100000", "BOROUGH_LIMITS_CALLS_IN_FLIGHT_LEAST": "100000"}
"""Options under which every call is let in."""


class Processor(NamedTuple):
    """Seconds in which a thread ran, and in which it could have run and others did."""

    had_s: float
    waited_s: float

    def share_since(self, earlier: Processor) -> float:
        """How much of the processor it got of what it wanted."""
        had_s, waited_s = self.had_s - earlier.had_s, self.waited_s - earlier.waited_s
        return had_s / (had_s + waited_s) if had_s + waited_s > 0 else 1.0


class Mill:
    """A fresh server."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        self._folder = folder
        self.port = any_port()
        self._environment = dict(os.environ) | {
            "BOROUGH_EDGE_RATE_LIMIT": "",
            "PYTHONPATH": module_path(),
            **options,
        }
        self._server: Server | None = None

    async def start(self) -> None:
        """Start it."""
        system = self._folder / "mill_system"
        system.mkdir()
        (system / "borough.toml").write_text(SYSTEM)
        log = self._folder / "server.log"
        words = ("--port", str(self.port), "--data", str(self._folder / "data"))
        self._server = await Server.begin(system, log, self._environment, words)
        await self._server.until_ready()

    def processor(self) -> Processor:
        """What the kernel has given to its loop so far."""
        assert self._server is not None
        text = Path(f"/proc/{self._server.pid}/schedstat").read_text()
        had, waited, _ = text.split()
        return Processor(int(had) / 1e9, int(waited) / 1e9)

    async def close(self) -> None:
        """End it."""
        if self._server is not None:
            await self._server.discard()


async def play(kind: str, seed: int, seconds: float, timeout_s: float, fault: bool) -> Episode:
    """One flood."""
    with tempfile.TemporaryDirectory(prefix="borough-overload-") as folder:
        mill = Mill(Path(folder), OFF if fault else {})
        load: Load | None = None
        try:
            await mill.start()
            load = Load(mill.port, KINDS[kind], timeout_s, random.Random(seed))
            await load.closed_loop(1, 0.5)
            peak, peak_share = 0.0, 1.0
            for callers in CALLERS:
                before = mill.processor()
                outcomes = await load.closed_loop(callers, PEAK_S)
                per_s = sum(outcome.is_good for outcome in outcomes) / PEAK_S
                if per_s > peak:
                    peak, peak_share = per_s, mill.processor().share_since(before)
            calm = await load.open_loop(peak / 2, CALM_S)
            before = mill.processor()
            flood = await load.open_loop(peak * TIMES, seconds)
            flood_share = mill.processor().share_since(before)
            after = await load.open_loop(peak / 2, AFTER_S)
        finally:
            if load is not None:
                load.close()
            await mill.close()
    goodput = sum(outcome.is_good for outcome in flood) / seconds
    # On a machine that others use, too, the processor's share differs from one minute to the next.
    possible = peak * flood_share / peak_share if kind == "grind" else peak
    back_s = normal_after(after, calm)
    facts = {
        "kind": kind,
        "load": round(os.getloadavg()[0], 1),
        "timeout_ms": round(timeout_s * 1000),
        "peak": round(peak, 1),
        "goodput": round(goodput, 1),
        "processor_at_peak": round(peak_share, 3),
        "processor_in_flood": round(flood_share, 3),
        "share": round(goodput / possible, 3) if peak else 0.0,
        "normal_after_s": back_s,
        "calm_ms": spread(calm),
        "flood_ms": spread([each for each in flood if each.is_good]),
        "refused_ms": spread([each for each in flood if each.kind.startswith("503")]),
        "after_ms": spread(after),
        "flood": kinds_of(flood),
        "after": kinds_of(after),
    }
    return Episode(seed, list(judge(possible, goodput, back_s)), facts)


def judge(possible: float, goodput: float, back_s: float | None) -> Iterator[str]:
    """What is wrong, in words."""
    if goodput < possible * LEAST_SHARE:
        yield f"goodput: {goodput:.0f}/s of a possible {possible:.0f}/s"
    if back_s is None or back_s > NORMAL_WITHIN_S:
        yield f"not normal: after {NORMAL_WITHIN_S:.0f} s at half of the peak ({back_s})"


def normal_after(after: Sequence[Outcome], calm: Sequence[Outcome]) -> float | None:
    """From when on every second is as before the flood: no more bad calls, the median near the calm one."""
    if not after or not calm:
        return None
    most_s = statistics.median(each.took_s for each in calm) * 2 + 0.005
    most_bad = max(map(bad_share, by_second(calm).values()))
    normal: float | None = None
    for second, outcomes in sorted(by_second(after).items(), reverse=True):
        took_s = statistics.median(each.took_s for each in outcomes)
        if bad_share(outcomes) > most_bad or took_s > most_s:
            break
        normal = float(second)
    return normal


def by_second(outcomes: Sequence[Outcome]) -> Mapping[int, Sequence[Outcome]]:
    """Arrivals by the second in which they were due."""
    began = min(each.due for each in outcomes)
    seconds: dict[int, list[Outcome]] = {}
    for each in outcomes:
        seconds.setdefault(int(each.due - began), []).append(each)
    return seconds


def bad_share(outcomes: Sequence[Outcome]) -> float:
    """How many of them were not good, of all."""
    return sum(not each.is_good for each in outcomes) / len(outcomes)


def spread(outcomes: Sequence[Outcome]) -> Mapping[str, float]:
    """Median and 99th percentile in milliseconds."""
    times = sorted(each.took_s * 1000 for each in outcomes)
    if not times:
        return {}
    return {
        "p50": round(times[len(times) // 2], 1),
        "p99": round(times[int(len(times) * 0.99)], 1),
    }


def run(options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
    """One flood for each seed, of both kinds in turn."""
    for seed in seeds:
        kind = options.kind or tuple(KINDS)[seed % len(KINDS)]
        seconds = min(options.seconds, PLANTED_S) if planted else options.seconds
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            yield runner.run(
                play(kind, seed, seconds, options.timeout_ms / 1000, planted is not None)
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this rig takes."""
    parser.add_argument("--kind", choices=sorted(KINDS), help="only this kind; both in turn")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the flood (60)")
    parser.add_argument("--timeout-ms", type=int, default=200, help="each call's time (200)")


RIG = Rig("floods", run, {"unlimited": Fault(2, "goodput: ")}, add_arguments=add_arguments)
