"""A worker that calls aiohttp_server with aiohttp's client, as many connections as calls in flight."""

import sys

import aiohttp

from benchmarks.answering import answer_lines, run
from benchmarks.closed_loop import closed_loop
from benchmarks.payload import CENTS, ORDER


async def main() -> None:
    """Answer until standard input ends."""
    url = f"http://127.0.0.1:{sys.argv[1]}/pricing/totals"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call() -> None:
            async with session.post(url, json=ORDER) as response:
                answer = await response.json()
                assert answer["in_cents"] == CENTS

        await answer_lines(lambda asked: closed_loop(call, **asked))


if __name__ == "__main__":
    run(main)
