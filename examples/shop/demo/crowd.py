"""Those who search in a flash sale, in a process of their own: their machines are not the shop's.

    python -m shop.demo.crowd --edge http://127.0.0.1:8080

How many search is a line on standard input, and what they have seen since the last one is a line of
JSON on standard output four times a second. The end of the input ends it.
"""

import argparse
import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import uvloop

from borough.transports.http.client import HttpClient
from shop.demo.customer import WORDS, Shop, Unexpected
from shop.demo.tally import Tally

BETWEEN_S = 0.02
"""Between two searches of one who searches."""
TELL_S = 0.25
GIVES_WAY = 5
"""Of nice(2): what the crowd computes, no customer of the shop waits for elsewhere."""


class Crowd:
    """So many who search as was said last."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._searchers = 0
        self._took_s: list[float] = []

    def gather(self, searchers: int, group: asyncio.TaskGroup) -> None:
        """So many search from now on."""
        for number in range(self._searchers, searchers):
            group.create_task(self._search(number))
        self._searchers = searchers

    def told(self) -> dict[str, Any]:
        """What has been seen since this was asked last."""
        seen, tally = self._took_s, self._shop.tally
        self._took_s, self._shop.tally = [], Tally()
        return {"took_s": seen, "errors": tally.errors, "sentences": tally.sentences}

    async def _search(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        word = WORDS[number % len(WORDS)]
        while number < self._searchers:
            began_s = loop.time()
            with suppress(Unexpected):
                _, found = await self._shop.ask("GET", f"/search/items?q={word}&limit=3", 200)
                if not found["items"]:
                    self._shop.refuse(f"nothing was found for {word}")
                self._took_s.append(loop.time() - began_s)
            await asyncio.sleep(BETWEEN_S)


def _give_way() -> None:
    """The shop goes first, by thread and, where the kernel shares so, by session."""
    os.nice(GIVES_WAY)
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as group:
        group.write(str(GIVES_WAY))


async def _tell(crowd: Crowd) -> None:
    while True:
        await asyncio.sleep(TELL_S)
        print(json.dumps(crowd.told()), flush=True)


async def search(edge: str) -> None:
    """Search as told until the end of the input."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    parts = urlsplit(edge)
    client = HttpClient()
    crowd = Crowd(Shop(client, (parts.hostname or "127.0.0.1", parts.port or 80), Tally()))
    try:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(_tell(crowd))
            async for line in commands:
                crowd.gather(int(line), group)
            crowd.gather(0, group)
            telling.cancel()
        print(json.dumps(crowd.told()), flush=True)
    finally:
        await client.close()


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shop.demo.crowd")
    parser.add_argument("--edge", required=True, help="the shop, http://HOST:PORT")
    options = parser.parse_args()
    _give_way()
    uvloop.run(search(options.edge))
    return 0


if __name__ == "__main__":
    sys.exit(main())
