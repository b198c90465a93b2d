"""The desk: measures from where a call is at hand, with deadline, caller and trace."""

from time import perf_counter_ns
from typing import final

import msgspec
from market.desk.contract import Desk, Figures, Run
from market.pricing.contract import Order, Pricing

from benchmarks.closed_loop import closed_loop
from benchmarks.payload import BODY, CENTS
from borough import Service

ORDER = msgspec.json.decode(BODY, type=Order)


@final
class DeskService(Service, Desk):
    """Calls pricing."""

    pricing: Pricing

    def order(self) -> Order:
        """What it asks pricing about, for a candidate that is called without it."""
        return ORDER

    async def single(self, calls: int) -> float:
        """See `Desk`."""
        total, order = self.pricing.total, ORDER
        started = perf_counter_ns()
        for _ in range(calls):
            await total(order)
        return (perf_counter_ns() - started) / calls

    async def loop(self, run: Run) -> Figures:
        """See `Desk`."""
        total = self.pricing.total

        async def call() -> None:
            answer = await total(ORDER)
            assert answer.in_cents == CENTS

        figures = await closed_loop(
            call, in_flight=run.in_flight, seconds=run.seconds, pids=run.pids
        )
        return Figures(**figures)
