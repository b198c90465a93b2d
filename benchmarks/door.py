"""The public door of a fleet, for the benchmark `edge`.

`python -m benchmarks.door PORT DATA INTERNAL_PORT`: forwards to the market's internal listener.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from benchmarks.answering import run
from benchmarks.servers import MARKET
from borough.gateway.edge_process import EdgeProcess
from borough.ports import Replica
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import Directory
from borough.runtime.footing import settle_memory


async def main() -> None:
    """Forward until ended."""
    port, data, internal = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    directory = Directory({"pricing": [Replica("pricing.1", "127.0.0.1", internal)]})
    configuration = Configuration.load(MARKET, {})
    edge = EdgeProcess(configuration, ["pricing"], directory, port=port, data_folder=data)
    await edge.start()
    settle_memory()
    print("{}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main)
