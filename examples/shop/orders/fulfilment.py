"""How an order goes on: the steps of `life_cycle` with their calls and rows.

Between any two calls to other services stands a durable state, and no transaction is open during
one. Every step may be repeated by order id: by the customer who sends the request again, by an
event that brings the outcome, or by the sweep over what a crash left half-way.
"""

import logging

from borough import Clock, Database, Problem, Transaction
from borough.errors import CallError
from shop.accounts.contract import Accounts
from shop.orders import data
from shop.orders.contract import (
    BasketEmpty,
    Buyer,
    Line,
    Order,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderState,
    PaymentDeclined,
    SoldOut,
)
from shop.orders.data import OrderRow
from shop.orders.life_cycle import AT_REST, Step, after
from shop.payments.contract import CardDeclined, Money, OutcomeUnknown, Payments, PaymentState
from shop.search.contract import OutOfStock, ReservationEnded, Search, UnknownItem, Wanted

log = logging.getLogger(__name__)


class Fulfilment:
    """Takes orders through their life."""

    def __init__(
        self, db: Database, clock: Clock, accounts: Accounts, search: Search, payments: Payments
    ) -> None:
        self.db = db
        self.clock = clock
        self.accounts = accounts
        self.search = search
        self.payments = payments

    async def place(self, order_id: str, account_id: str) -> OrderRow:
        """Make an order of what is in the basket. Raises `BasketEmpty`."""
        account = await self.accounts.account(account_id)
        buyer = Buyer(account_id=account_id, name=account.name, email=account.email)

        async def body(tx: Transaction) -> OrderRow:
            lines = await data.basket(tx, account_id)
            if not lines:
                raise BasketEmpty()
            order = await data.place(tx, order_id, buyer, lines, self.clock.now())
            await data.empty(tx, account_id)
            tx.publish(OrderPlaced(order_id=order_id, account_id=account_id))
            return order

        return await self.db.transact(body)

    async def reserve(self, order: OrderRow) -> OrderRow:
        """Have the stock held; an order for what is sold out is abandoned."""
        wanted = tuple(Wanted(sku=line.sku, quantity=line.quantity) for line in order.lines)
        try:
            reservation = await self.search.reserve(order.order_id, wanted)
        except (OutOfStock, UnknownItem) as problem:
            missing = next(line for line in order.lines if line.sku == problem.sku)
            return await self.step(
                order.order_id,
                Step.ABANDON,
                f"{missing.name} is sold out",
                missing_sku=missing.sku,
            )
        except ReservationEnded:
            return await self.step(order.order_id, Step.ABANDON, "it took too long")
        lines = tuple(
            Line(sku=held.sku, name=held.name, quantity=held.quantity, price_cents=held.price_cents)
            for held in reservation.lines
        )

        async def body(tx: Transaction) -> OrderRow:
            await data.price(tx, order.order_id, lines)
            return await self.take(tx, order.order_id, Step.RESERVE)

        return await self.db.transact(body)

    async def pay(self, order: OrderRow, card: str) -> OrderRow:
        """Have the card charged. Without an answer the order stays `paying`."""
        order = await self.step(order.order_id, Step.CHARGE)
        if order.state is not OrderState.PAYING:
            return order  # abandoned in the meantime
        try:
            await self.payments.charge(order.order_id, Money(cents=order.total_cents), card)
        except CardDeclined as problem:
            return await self.step(order.order_id, Step.REFUSE, problem.reason)
        except (OutcomeUnknown, CallError) as error:
            # No answer is no outcome: an event of payments will bring it, or the sweep.
            log.info("order %s has no payment outcome yet: %s", order.order_id, error)
            return order
        return await self.step(order.order_id, Step.CAPTURE)

    async def wind_up(self, order: OrderRow) -> OrderRow:
        """Give back what an order without a sale still holds: first the money, then the stock."""
        if order.state is OrderState.REFUNDING:
            await self.payments.refund(order.order_id)
            order = await self.step(order.order_id, Step.REFUND)
        if order.state in (OrderState.DECLINING, OrderState.CANCELLING):
            await self.search.release(order.order_id)
            order = await self.step(order.order_id, Step.RELEASE)
        return order

    async def finish(self, order: OrderRow) -> None:
        """Bring an order that was left half-way to its end."""
        if order.state in (OrderState.PLACED, OrderState.RESERVED):
            order = await self.step(order.order_id, Step.ABANDON, "it took too long")
        elif order.state is OrderState.PAYING:
            payment = await self.payments.settle(order.order_id)
            if payment.state is PaymentState.CAPTURED:
                order = await self.step(order.order_id, Step.CAPTURE)
            elif payment.state is PaymentState.FAILED:
                order = await self.step(order.order_id, Step.REFUSE, payment.reason)
        await self.wind_up(order)

    async def step(
        self, order_id: str, step: Step, reason: str = "", *, missing_sku: str | None = None
    ) -> OrderRow:
        """Take a step in a transaction of its own."""
        return await self.db.transact(
            lambda tx: self.take(tx, order_id, step, reason, missing_sku=missing_sku)
        )

    async def take(
        self,
        tx: Transaction,
        order_id: str,
        step: Step,
        reason: str = "",
        *,
        missing_sku: str | None = None,
    ) -> OrderRow:
        """Take a step, or none where somebody was faster. A checkout is answered with the last one."""
        order = await data.existing(tx, order_id)
        state = after(order.state, step)
        if state is not None:
            order = await data.move(tx, order_id, state, self.clock.now(), reason, missing_sku)
            await self._tell(tx, order)
        if order.state in AT_REST:
            await tx.answer(answer_of(order))  # outside of a checkout it answers nothing
        return order

    async def _tell(self, tx: Transaction, order: OrderRow) -> None:
        """Publish what a state means to others."""
        if order.state is OrderState.PAID:
            tx.publish(
                OrderPaid(
                    order_id=order.order_id,
                    buyer=order.buyer,
                    lines=order.lines,
                    total_cents=order.total_cents,
                )
            )
        elif order.state in AT_REST:
            if order.reason:  # not at the customer's own wish: let them try again
                await data.refill(tx, order)
            tx.publish(
                OrderCancelled(
                    order_id=order.order_id,
                    buyer=order.buyer,
                    state=order.state,
                    reason=order.reason,
                )
            )


def answer_of(order: OrderRow) -> Order | Problem:
    """What a checkout answers: the order, or the problem that ended it."""
    if order.state is OrderState.DECLINED:
        return PaymentDeclined(order_id=order.order_id, reason=order.reason)
    if order.state is OrderState.CANCELLED and order.missing_sku:
        return SoldOut(order_id=order.order_id, sku=order.missing_sku)
    return order.shown()
