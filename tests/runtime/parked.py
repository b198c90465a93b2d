"""A handler that fails until it is mended, its consumer, and what is dead in its service."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from borough.reliability.backoff import Backoff
from borough.reliability.inbox import InboxTerms
from borough.reliability.retries import Retries
from borough.runtime.consumer import Consumer
from borough.runtime.envelope import source_name
from borough.runtime.event_handler import EventHandler
from borough.runtime.pulse import until_quiet
from tests.runtime.stage import PLACED, TOPIC, Place, Placed, Stage

QUICK = Retries(
    quick=2, attempts=4, quick_waits=Backoff(0.001, 0.001), parked_waits=Backoff(0.01, 0.02)
)


class Bad:
    """A form-one handler that fails on some customers until it is mended."""

    def __init__(self, *customers: str) -> None:
        self.customers = set(customers)
        self.attempts: list[int] = []

    async def hear(self, event: Placed, tx: Any) -> None:
        self.attempts.append(event.number)
        await tx.execute(
            "insert into seen (number, customer) values ($1, $2)", event.number, event.customer
        )
        if event.customer in self.customers:
            raise RuntimeError(f"no {event.customer} here")


def consumer_of(
    stage: Stage,
    place: Place,
    function: Any,
    retries: Retries = QUICK,
    deadline_s: float = 30.0,
    **fields: Any,
) -> Consumer:
    handler = EventHandler(
        f"{place.name}.hear",
        place.name,
        function,
        fields.pop("takes_transaction", True),
        (PLACED,),
        folder=str(Path(__file__).parent),
        **fields,
    )
    return Consumer(
        handler,
        TOPIC,
        place.db,
        stage.broker,
        place.leases,
        stage.clock,
        stage.activity,
        terms=InboxTerms(deadline_s, retries=retries, source=source_name("shop", "orders")),
    )


async def until(stage: Stage, true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await stage.activity.wait(stage.activity.count, 0.05)


def was_buried(consumer: Consumer) -> bool:
    return consumer.buried > 0


async def quiet(stage: Stage, *parts: Any) -> None:
    async with asyncio.timeout(20):
        await until_quiet(parts, stage.activity)


async def place_all(orders: Place, *placed: tuple[int, str]) -> None:
    for number, customer in placed:
        await orders.place_order(number, customer)


async def dead(place: Place) -> Sequence[tuple[str, str | None, int, str, str]]:
    return await place.store.all(
        tuple[str, str | None, int, str, str],
        "select error, key, attempts, cause, frame from borough_dead order by number",
    )
