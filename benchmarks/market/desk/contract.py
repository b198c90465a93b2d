"""What the desk promises: it calls pricing, as a service calls a service, and says how long that took."""

from typing import Protocol

from borough import Struct, contract, post


class Run(Struct):
    """How to call, and whose CPU time to count besides that of this process."""

    in_flight: int
    seconds: float
    pids: tuple[int, ...] = ()


class Figures(Struct):
    """What a closed loop of calls has measured, after a warm-up."""

    calls_per_s: float
    p50_us: float
    p99_us: float
    client_us: float
    server_us: float


@contract("desk", version="1.0")
class Desk(Protocol):
    """Calls pricing through the client that wiring gave it."""

    @post("/single")
    async def single(self, calls: int) -> float:
        """Nanoseconds per call, one call after another."""
        ...

    @post("/loops")
    async def loop(self, run: Run) -> Figures:
        """A closed loop with so many calls in flight."""
        ...
