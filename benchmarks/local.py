"""A local call with deadline, caller and trace at hand, beside a bare handler and FastAPI in process."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import uvloop

from benchmarks.children import SERVER_CORE, pinned
from benchmarks.payload import BODY, CENTS
from benchmarks.report import Report
from benchmarks.servers import MARKET
from borough.runtime.client import Caller
from borough.runtime.footing import settle_memory
from borough.runtime.system import System
from borough.testing import start

WHAT = "one process on core 0, one call after another, tracing off"
CALLS = 20_000
CALLS_OF_PEER = 2_000


def measure(rounds: int) -> Report:
    """The three, in turn."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pinned(SERVER_CORE):
        return runner.run(_measure(rounds))


async def _measure(rounds: int) -> Report:
    report = Report("local", WHAT)
    bare = report.new("bare `await handler()`", "us")
    client = report.new("borough, injected client", "us")
    fastapi = report.new("fastapi, raw ASGI call", "us")
    async with start(System.load(MARKET)) as running:
        desk, pricing = running.service("desk"), running.service("pricing")
        host = running._process.host
        callee = host.callees["desk.Desk.single"]
        caller = Caller("desk", host.clock)
        order = desk.order()
        await _bare(pricing, order, CALLS)
        await callee.run((CALLS,), caller.first_call())
        await _fastapi(CALLS_OF_PEER)
        settle_memory()  # as `borough run` does; for all of them, they share the process
        for _ in range(rounds):
            bare.values.append(await _bare(pricing, order, CALLS))
            client.values.append(await callee.run((CALLS,), caller.first_call()) / 1e3)
            fastapi.values.append(await _fastapi(CALLS_OF_PEER))
    report.add(client.over(bare, "borough over bare handler"))
    report.hold(report.add(fastapi.over(client, "fastapi over borough")), at_least=40)
    return report


async def _bare(pricing: Any, order: Any, calls: int) -> float:
    total = pricing.total
    started = time.perf_counter_ns()
    for _ in range(calls):
        await total(order)
    return (time.perf_counter_ns() - started) / calls / 1e3


async def _fastapi(calls: int) -> float:
    """The application called as a server would: scope, receive and send made by hand."""
    from benchmarks.peers.fastapi_app import app

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"host", b"127.0.0.1"),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(BODY)).encode()),
    ]
    started = time.perf_counter_ns()
    for _ in range(calls):
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/pricing/totals",
            "raw_path": b"/pricing/totals",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8000),
        }
        del sent[:]
        await app(scope, receive, send)
    took = (time.perf_counter_ns() - started) / calls / 1e3
    assert sent[0]["status"] == 200, sent
    assert str(CENTS).encode() in sent[1]["body"], sent
    return took
