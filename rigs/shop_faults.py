"""Starts the shop as a fleet with a fault in one of its services: `python -m rigs.shop_faults FAULT run PATH ...`.

As in `rigs/planted.py` the product and the shop have no branch for it: functions are replaced in the processes
of the fleet, which are this module in place of the product's, before they start.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import time
from typing import Any

from borough.cli import main as product
from borough.fleet import child, replica
from rigs.planted import replace

__all__ = ["FAULTS"]

FAULT = "RIG_SHOP_FAULT"
SLOW_S = 0.7
MAIL_S = 8.0
ASKED_S = 0.3
DIES_AFTER_S = 4.0
FIRST_DIGITS = "01234567"
"""Of the ids of orders whose receipt cannot be written: every other one."""


def slow_payments() -> None:
    """Payments takes its time for each charge, before it asks anybody."""
    from shop.payments.service import PaymentService

    charge: Any = PaymentService.charge

    @functools.wraps(charge)
    async def slow(self: Any, *rest: Any, **named: Any) -> Any:
        await asyncio.sleep(SLOW_S)
        return await charge(self, *rest, **named)

    replace(PaymentService, "charge", slow)


def poison_receipts() -> None:
    """The receipts of some orders cannot be written, however often it is tried."""
    from shop.notifications import texts

    receipt: Any = texts.receipt

    @functools.wraps(receipt)
    def poisoned(event: Any) -> Any:
        if event.order_id[-1] in FIRST_DIGITS:
            raise ValueError(f"order {event.order_id} has a line without a price")
        return receipt(event)

    replace(texts, "receipt", poisoned)


def slow_mails() -> None:
    """Each mail takes so long that more come meanwhile than go."""
    from shop.notifications.delivery import MailboxFolder

    deliver: Any = MailboxFolder.deliver

    async def slow(self: Any, mail: Any) -> None:
        await asyncio.sleep(MAIL_S)
        await deliver(self, mail)

    replace(MailboxFolder, "deliver", slow)


def few_threads() -> None:
    """One thread asks the issuer, one charge may wait for it, and each takes a while."""
    from borough.runtime.pool import ThreadPool
    from shop.payments.issuer import CardIssuer

    make: Any = ThreadPool.__init__
    exchange: Any = CardIssuer._exchange

    def slow(self: Any, *rest: Any) -> Any:
        time.sleep(ASKED_S)
        return exchange(self, *rest)

    replace(ThreadPool, "__init__", lambda self, service, *_: make(self, service, 1, 1))
    replace(CardIssuer, "_exchange", slow)


def die_again_and_again() -> None:
    """The process ends by itself soon after its start."""
    timer = threading.Timer(DIES_AFTER_S, os._exit, (70,))
    timer.daemon = True
    timer.start()


FAULTS = {
    "payments-slow": ("payments", slow_payments),
    "poison-event": ("notifications", poison_receipts),
    "lagging-consumer": ("notifications", slow_mails),
    "full-pool": ("payments", few_threads),
    "crash-loop": ("search", die_again_and_again),
}
"""By name: the service in whose process it is planted, and how."""


def main(arguments: list[str]) -> int:
    """In the process that was started: run the product. In one of its fleet: plant, and be a replica."""
    fault = os.environ.get(FAULT)
    if fault is None:
        os.environ[FAULT] = arguments[0]
        setattr(child, "_MODULE", "rigs.shop_faults")  # noqa: B010
        return product(arguments[1:])
    service, plant = FAULTS[fault]
    if arguments[-1].partition(".")[0] == service:
        plant()
    return replica.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
