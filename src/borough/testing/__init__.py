"""For tests of services: start any of them, fake the others, own the clock, wait until it is quiet.

    async with start("shop", mode="honest", only=["orders"], fakes={Payments: fake(Payments)}) as shop:
        order = await shop.client(Orders, user="ann").place(...)
        await shop.quiet()

The same test body runs in every mode of `MODES`: `local` (calls in the process), `honest` (each
call encoded and decoded), `wire` (one process, each call over HTTP), `processes` (a fleet).
"""

from borough.brokers.memory import MemoryBroker
from borough.engines.ports import free_port
from borough.testing.clock import ManualClock
from borough.testing.fakes import calls, fake
from borough.testing.running import NotQuiet, Running
from borough.testing.start import MODES, Mode, start
from borough.transports.honest import Hardship

__all__ = [
    "MODES",
    "Hardship",
    "ManualClock",
    "MemoryBroker",
    "Mode",
    "NotQuiet",
    "Running",
    "calls",
    "fake",
    "free_port",
    "start",
]
