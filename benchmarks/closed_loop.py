"""A closed loop: so many callers, each calling again as soon as it has its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

__all__ = ["WARM_S", "closed_loop", "cpu_ns", "percentile"]

WARM_S = 0.2


def cpu_ns(pids: Sequence[int]) -> int:
    """CPU time of all threads of these processes, in nanoseconds, as the scheduler counts it."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of the sorted values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def closed_loop(
    call: Callable[[], Awaitable[None]],
    *,
    in_flight: int,
    seconds: float,
    pids: Sequence[int] = (),
) -> dict[str, float]:
    """Call for `seconds` after a warm-up; returns rate, latencies and CPU time per call."""
    took_s: list[float] = []
    running = True

    async def caller() -> None:
        clock = time.perf_counter
        while running:
            began = clock()
            await call()
            took_s.append(clock() - began)

    callers = [asyncio.create_task(caller()) for _ in range(in_flight)]
    await asyncio.sleep(WARM_S)
    del took_s[:]
    started, own, others = time.perf_counter(), time.process_time_ns(), cpu_ns(pids)
    await asyncio.sleep(seconds)
    count, elapsed_s = len(took_s), time.perf_counter() - started
    own, others = time.process_time_ns() - own, cpu_ns(pids) - others
    running = False
    await asyncio.gather(*callers)
    return {
        "calls_per_s": count / elapsed_s,
        "p50_us": percentile(took_s, 0.5) * 1e6,
        "p99_us": percentile(took_s, 0.99) * 1e6,
        "client_us": own / count / 1e3,
        "server_us": others / count / 1e3,
    }
