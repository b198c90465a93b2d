"""The orders service: baskets, and orders from placed to paid."""

import hashlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import final

from borough import (
    Clock,
    Database,
    Page,
    Problem,
    Service,
    Settings,
    Transaction,
    current_call,
    every,
    on,
)
from borough.errors import CallError
from shop.accounts.contract import Accounts
from shop.orders import data
from shop.orders.contract import (
    Basket,
    Line,
    NotCancellable,
    Order,
    Orders,
    OrderState,
    Progress,
    UnknownItem,
    UnknownOrder,
)
from shop.orders.data import OrderRow
from shop.orders.fulfilment import Fulfilment, answer_of
from shop.orders.life_cycle import AT_REST, Step
from shop.payments.contract import (
    OutcomeUnknown,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    Payments,
)
from shop.search import contract as search
from shop.search.contract import Search

log = logging.getLogger(__name__)


class OrderSettings(Settings):
    """When an order counts as left half-way: later than any checkout can still be running."""

    left_after_s: float = 30.0
    follow_every_s: float = 0.2


@final
class OrderService(Service, Orders):
    """Takes an order from basket to paid."""

    accounts: Accounts
    search: Search
    payments: Payments
    settings: OrderSettings
    db: Database
    clock: Clock

    async def open(self) -> None:
        self._walk = Fulfilment(self.db, self.clock, self.accounts, self.search, self.payments)

    async def basket(self) -> Basket:
        lines = await data.basket(self.db, current_call().user.subject)
        return Basket(lines=lines, total_cents=data.total(lines))

    async def put_in_basket(self, sku: str, quantity: int) -> Basket:
        account_id = current_call().user.subject
        try:
            item = await self.search.item(sku)
        except search.UnknownItem:
            raise UnknownItem(sku=sku) from None
        line = Line(sku=sku, name=item.name, quantity=quantity, price_cents=item.price_cents)
        async with self.db.transaction() as tx:
            if quantity:
                await data.put(tx, account_id, line)
            else:
                await data.take_out(tx, account_id, sku)
            lines = await data.basket(tx, account_id)
        return Basket(lines=lines, total_cents=data.total(lines))

    async def empty_basket(self) -> None:
        async with self.db.transaction() as tx:
            await data.empty(tx, current_call().user.subject)

    async def checkout(self, card: str) -> Order:
        call = current_call()
        order_id = order_id_for(call.user.subject, call.key or str(self.clock.new_id()))
        order = await data.order(self.db, order_id)
        if order is None:
            order = await self._walk.place(order_id, call.user.subject)
        elif order.state in AT_REST:  # this is a repeat; the call before it did not see the end
            async with self.db.transaction() as tx:
                await tx.answer(answer_of(order))
        if order.state is OrderState.PLACED:
            order = await self._walk.reserve(order)
        if order.state in (OrderState.RESERVED, OrderState.PAYING):
            order = await self._walk.pay(order, card)
        order = await self._walk.wind_up(order)
        answer = answer_of(order)  # stored once it is at rest, else a repeat goes on from here
        if isinstance(answer, Problem):
            raise answer
        return answer

    async def orders(self, after: str | None = None, limit: int = 20) -> Page[Order]:
        found = await data.orders_of(self.db, current_call().user.subject, after, limit + 1)
        more = found[limit - 1].order_id if len(found) > limit else None
        return Page(items=tuple(order.shown() for order in found[:limit]), next=more)

    async def order(self, order_id: str) -> Order:
        return (await self._mine(order_id)).shown()

    async def follow(self, order_id: str) -> AsyncIterator[Progress]:
        told: Progress | None = None
        while told is None or told.state not in AT_REST:
            progress = (await self._mine(order_id)).progress()
            if progress == told:
                await self.clock.sleep(self.settings.follow_every_s)
            else:
                told = progress
                yield progress

    async def cancel(self, order_id: str) -> Order:
        await self._mine(order_id)
        order = await self._walk.step(order_id, Step.CANCEL)
        if order.state not in (OrderState.REFUNDING, OrderState.CANCELLING, OrderState.CANCELLED):
            raise NotCancellable(state=order.state)
        try:
            order = await self._walk.wind_up(order)
        except (OutcomeUnknown, CallError) as error:
            log.info("order %s will be cancelled later: %s", order_id, error)
        return order.shown()

    @on(PaymentCaptured)
    async def mark_paid(self, event: PaymentCaptured, tx: Transaction) -> None:
        """With the transaction: the state changes with the note that the event was handled."""
        await self._walk.take(tx, event.order_id, Step.CAPTURE)

    @on(PaymentFailed)
    async def mark_declined(self, event: PaymentFailed) -> None:
        """Without a transaction, because the stock is given back by a call."""
        await self._walk.wind_up(await self._walk.step(event.order_id, Step.REFUSE, event.reason))

    @on(PaymentRefunded)
    async def mark_refunded(self, event: PaymentRefunded) -> None:
        """Without a transaction, for the same reason."""
        await self._walk.wind_up(await self._walk.step(event.order_id, Step.REFUND))

    @every("5s")
    async def finish_orders(self) -> None:
        """Finish the orders that a crash or an outage left half-way."""
        left = self.clock.now() - timedelta(seconds=self.settings.left_after_s)
        for order in await data.unfinished(self.db, left):
            try:
                await self._walk.finish(order)
            except (OutcomeUnknown, CallError) as error:
                log.info("order %s cannot be finished yet: %s", order.order_id, error)

    async def _mine(self, order_id: str) -> OrderRow:
        order = await data.order(self.db, order_id)
        if order is None or order.account_id != current_call().user.subject:
            raise UnknownOrder()
        return order


def order_id_for(account_id: str, key: str) -> str:
    """The same order for the same request: a repeat goes on where the first one stopped."""
    return hashlib.sha256(f"{account_id}\n{key}".encode()).hexdigest()[:24]
