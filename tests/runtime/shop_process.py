"""A process that takes orders and hears them, until it is killed. It prints each order committed.

Several of them share the databases and the log: their relays and consumers are leased roles.
"""

import asyncio
import os
import sys
from pathlib import Path

from borough.reliability.lease import Terms
from tests.runtime.stage import Place, Placed, remember, staged

TERMS = Terms(lasting_s=0.4, renewal_s=0.1)


async def place_orders(orders: Place, first: int, lane: int) -> None:
    """One customer's orders, one after the other: numbers grow in the order of their commits."""
    number = first + lane
    while True:
        await orders.place_order(number, f"{first}-{lane}")
        os.write(1, f"{number}\n".encode())
        number += 4
        await asyncio.sleep(0.002)


async def main(folder: Path, first: int) -> None:
    ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def deliver(event: Placed) -> None:
        os.write(ledger, f"{event.customer} {event.number}\n".encode())

    async with staged(folder, terms=TERMS) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        one = stage.consumer(mail, remember(mail), takes_transaction=True, name="one")
        two = stage.consumer(mail, deliver, takes_transaction=False, name="two")
        await one.register()
        await two.register()
        async with asyncio.TaskGroup() as group:
            for part in (stage.relay(orders), one, two):
                group.create_task(part.run())
            for lane in range(4):
                group.create_task(place_orders(orders, first, lane))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
