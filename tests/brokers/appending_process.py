"""A process that appends numbered events to a log until it is killed; it prints each number done."""

import asyncio
import sys

from borough.brokers.embedded import EmbeddedBroker
from borough.clock import SystemClock
from borough.ports import Message


def numbered(number: int, size: int = 300) -> Message:
    """The event of this number; the same number always gives the same bytes."""
    body = f'{{"n":{number},"fill":"{"x" * (number * 37 % size)}"}}'.encode()
    return Message(f"id-{number}", "orders.Orders", "orders.Placed", str(number % 7), number, body)


async def append(folder: str, first: int) -> None:
    broker = EmbeddedBroker(folder, SystemClock())
    await broker.open()
    number = first
    while True:
        count = number % 5 + 1
        await broker.publish([numbered(n) for n in range(number, number + count)])
        number += count
        print(number - 1, flush=True)


if __name__ == "__main__":
    asyncio.run(append(sys.argv[1], int(sys.argv[2])))
