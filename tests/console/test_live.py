"""What is live, over hours."""

from __future__ import annotations

import asyncio
from itertools import count

import msgspec

from borough.clock import SystemClock
from borough.console.live import Live, Source


async def test_what_has_gone_is_forgotten_and_who_follows_gets_the_whole_anew() -> None:
    pids, wholes = count(), list[int]()

    async def read() -> dict[str, dict[str, str]]:
        return {"processes": {str(next(pids)): "runs"}}

    live = Live([Source(("processes",), read, 0.0)], SystemClock())
    async with asyncio.timeout(30):
        async for event in live.follow(("processes",), lambda: len(wholes) < 2):
            _, _, data = event.partition(b"data: ")
            if data and (said := msgspec.json.decode(data))["whole"]:
                wholes.append(len(said["changed"]))
    assert wholes == [1, 1]
    await live.close()
