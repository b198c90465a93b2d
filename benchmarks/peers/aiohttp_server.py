"""aiohttp on uvloop, JSON by the standard library; `python -m benchmarks.peers.aiohttp_server PORT`."""

import asyncio
import sys

from aiohttp import web

from benchmarks.answering import run


async def total(request: web.Request) -> web.Response:
    """Sum quantity times price over all lines."""
    order = await request.json()
    cents = sum(line["qty"] * line["price"] for line in order["lines"])
    answer = {"order_id": order["order_id"], "currency": order["currency"], "in_cents": cents}
    return web.json_response(answer)


async def main() -> None:
    """Serve until ended."""
    app = web.Application()
    app.router.add_post("/pricing/totals", total)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main)
