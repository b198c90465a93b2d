"""A second Borough process: the desk's calls to pricing go to the internal door of the first one.

`python -m benchmarks.market_client DATA PORT [OPTION=VALUE ...]`, with the data folder of the first
process (for the tokens by which services prove themselves), the port of its internal listener, and
its options for TLS.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.answering import answer_lines, run
from benchmarks.servers import MARKET
from borough.clock import SystemClock
from borough.gateway.internal import ServiceTokens
from borough.gateway.mutual_tls import proof_of
from borough.ports import Replica, Transport
from borough.runtime.client import Caller
from borough.runtime.discovery import Directory
from borough.runtime.host import Host
from borough.runtime.system import System
from borough.transports.http.dependency import Dependencies
from borough.transports.http.remote import RemoteTransport


async def main() -> None:
    """Answer until standard input ends."""
    data, port = Path(sys.argv[1]), int(sys.argv[2])
    clock = SystemClock()
    system = System.load(MARKET, flags=dict(pair.split("=", 1) for pair in sys.argv[3:]))
    proof = proof_of(system.configuration, ServiceTokens(data / "tokens", clock), clock)
    proof.open(["desk", "pricing", "reports"])

    directory = Directory({"pricing": [Replica("pricing-1", "127.0.0.1", port)]})

    def remote(_host: Host, caller: str) -> Transport:
        limits = system.configuration.options.limits
        return RemoteTransport(
            Dependencies(
                directory,
                lambda: proof.client(caller, limits.for_client()),
                clock,
                limits.for_dependency(),
                caller=caller,
                place=proof.origin,
            )
        )

    host = Host(system, clock=clock, make_transport=remote, data_folder=data / "second")
    await host.start()
    loop = host.callees["desk.Desk.loop"]
    caller = Caller("desk", clock)

    async def answer(asked: Any) -> object:
        wanted = msgspec.convert(asked, loop.operation.request)
        return await loop.run((wanted,), caller.first_call())

    try:
        await answer_lines(answer)
    finally:
        await host.stop()


if __name__ == "__main__":
    run(main)
