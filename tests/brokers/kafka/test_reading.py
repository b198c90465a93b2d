"""What becomes of the client of a reading that ends."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from borough.brokers.kafka.places import Start
from borough.brokers.kafka.reading import KafkaSubscription
from borough.clock import SystemClock


class Client:
    """A consumer to which nothing comes."""

    def __init__(self) -> None:
        self.is_closed = False

    def assign(self, _places: Any) -> None:
        """Nothing is there to be read."""

    def poll(self, _seconds: float) -> None:
        """Nothing has come."""

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_reading_whose_closing_is_cancelled_lets_its_client_go(times: int) -> None:
    client = Client()
    nothing: Any = None
    with ThreadPoolExecutor(2) as threads:
        reading = KafkaSubscription(
            cast(Any, client),
            nothing,
            "shop.Shop",
            nothing,
            threads,
            SystemClock(),
            "mail.hear",
            "shop.Shop",
            Start({0: 0}),
        )
        taking = asyncio.ensure_future(reading.take(1))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(reading.close())
        for _ in range(times):
            await asyncio.sleep(0)
            closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert client.is_closed
        taking.cancel()
        await asyncio.wait([taking])
