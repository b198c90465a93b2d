"""Orders, with fakes in the place of the other services."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from borough.errors import Unavailable
from borough.testing import Mode, Running, calls, fake, start
from shop.accounts.contract import Account, Accounts
from shop.orders.contract import (
    BasketEmpty,
    NotCancellable,
    Order,
    Orders,
    OrderState,
    PaymentDeclined,
    SoldOut,
    UnknownItem,
    UnknownOrder,
)
from shop.orders.service import order_id_for
from shop.payments.contract import (
    CardDeclined,
    Money,
    OutcomeUnknown,
    Payment,
    Payments,
    PaymentState,
)
from shop.search.contract import Item, OutOfStock, Reservation, ReservedLine, Search, Wanted
from shop.search.contract import UnknownItem as NoSuchItem

Answers = dict[str, Any]
Fakes = Mapping[Callable[..., Any], object]

SHOP = Path(__file__).parents[2]
CARD = "4242424242424242"
ADA = Account(account_id="ada", email="ada@shop.example", name="Ada")
KETTLE = Item(
    sku="K-1", name="Kettle", category="Kitchen", description="", price_cents=4990, stock=9
)


def reserve(order_id: str, lines: tuple[Wanted, ...]) -> Reservation:
    """Hold everything, at a price that has gone up since it was put into the basket."""
    held = [
        ReservedLine(sku=line.sku, name="Kettle", quantity=line.quantity, price_cents=5000)
        for line in lines
    ]
    return Reservation(order_id=order_id, lines=tuple(held))


def paid(order_id: str, amount: Money | None = None, card: str = "") -> Payment:
    return Payment(
        order_id=order_id, state=PaymentState.CAPTURED, amount=amount or Money(cents=10_000)
    )


class Shop:
    """The orders service with its fakes, seen by Ada."""

    def __init__(self, running: Running, fakes: Fakes) -> None:
        self.running = running
        self.fakes = fakes

    def orders(self, key: str | None = None, user: str = "ada") -> Orders:
        return self.running.client(Orders, user=user, key=key)

    def asked(self, contract: Any) -> list[str]:
        """Which operations of a fake were called, in order."""
        return [operation for operation, _ in calls(self.fakes[contract])]

    async def checkout(self, key: str = "first") -> Order:
        return await self.orders(key).checkout(CARD)

    async def sweep(self) -> None:
        """What the schedule does every five seconds."""
        await self.running.tick("orders.finish_orders")


@asynccontextmanager
async def shop_with(
    mode: Mode, *, search: Answers | None = None, payments: Answers | None = None
) -> AsyncGenerator[Shop]:
    """Orders among fakes that go along with everything, but for what is given; two kettles chosen."""
    found: Answers = {"item": KETTLE, "reserve": reserve, "release": None} | (search or {})
    settled: Answers = {"charge": paid, "refund": paid} | (payments or {})
    fakes: Fakes = {
        Accounts: fake(Accounts, account=ADA),
        Search: fake(Search, **found),
        Payments: fake(Payments, **settled),
    }
    settings = {"services.orders.settings.left_after_s": 0.0}
    async with start(SHOP, mode=mode, only=["orders"], fakes=fakes, settings=settings) as running:
        shop = Shop(running, fakes)
        await shop.orders().put_in_basket("K-1", 2)
        yield shop


async def test_a_basket_holds_what_was_put_into_it(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        orders = shop.orders()
        assert (await orders.basket()).total_cents == 2 * 4990
        assert (await orders.put_in_basket("K-1", 3)).lines[0].quantity == 3
        assert not (await orders.put_in_basket("K-1", 0)).lines
        await orders.put_in_basket("K-1", 1)
        await orders.empty_basket()
        assert not (await orders.basket()).lines


async def test_what_is_not_sold_cannot_be_put_into_the_basket(mode: Mode) -> None:
    def item(sku: str) -> Item:
        if sku != KETTLE.sku:
            raise NoSuchItem(sku=sku)
        return KETTLE

    async with shop_with(mode, search={"item": item}) as shop:
        with pytest.raises(UnknownItem):
            await shop.orders().put_in_basket("no-such-item", 1)


async def test_a_checkout_reserves_charges_and_is_paid(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        order = await shop.checkout()
        assert order.state is OrderState.PAID
        assert order.total_cents == 2 * 5000  # the price that was reserved
        assert shop.asked(Search) == ["item", "reserve"]
        assert shop.asked(Payments) == ["charge"]
        assert not (await shop.orders().basket()).lines
        assert await shop.orders().order(order.order_id) == order
        assert (await shop.orders().orders()).items == (order,)


async def test_a_repeated_checkout_is_the_same_order(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        assert await shop.checkout() == await shop.checkout()
        assert shop.asked(Payments) == ["charge"]
        with pytest.raises(BasketEmpty):
            await shop.checkout(key="second")


async def test_a_declined_card_ends_the_order_and_gives_everything_back(mode: Mode) -> None:
    async with shop_with(mode, payments={"charge": CardDeclined(reason="no money")}) as shop:
        with pytest.raises(PaymentDeclined) as declined:
            await shop.checkout()
        with pytest.raises(PaymentDeclined) as again:
            await shop.checkout()
        assert declined.value == again.value
        assert declined.value.reason == "no money"
        assert shop.asked(Payments) == ["charge"]
        assert shop.asked(Search) == ["item", "reserve", "release"]
        order = await shop.orders().order(declined.value.order_id)
        assert order.state is OrderState.DECLINED
        assert (await shop.orders().basket()).lines  # so that Ada can try another card


async def test_what_is_sold_out_is_not_charged(mode: Mode) -> None:
    async with shop_with(mode, search={"reserve": OutOfStock(sku="K-1")}) as shop:
        with pytest.raises(SoldOut) as sold_out:
            await shop.checkout()
        assert sold_out.value.sku == "K-1"
        assert not shop.asked(Payments)
        order = await shop.orders().order(sold_out.value.order_id)
        assert (order.state, "Kettle is sold out" in order.message) == (OrderState.CANCELLED, True)


@pytest.mark.parametrize("silence", [OutcomeUnknown(), Unavailable("away")])
async def test_an_order_without_a_payment_outcome_stays_paying(
    mode: Mode, silence: Exception
) -> None:
    async with shop_with(mode, payments={"charge": silence}) as shop:
        order = await shop.checkout()
        assert order.state is OrderState.PAYING
        assert "do not pay again" in order.message
        assert "release" not in shop.asked(Search)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (PaymentState.CAPTURED, OrderState.PAID),
        (PaymentState.FAILED, OrderState.DECLINED),
        (PaymentState.PENDING, OrderState.PAYING),
    ],
)
async def test_the_sweep_asks_what_became_of_a_payment(
    mode: Mode, outcome: PaymentState, end: OrderState
) -> None:
    def settle(order_id: str) -> Payment:
        return Payment(order_id=order_id, state=outcome, amount=Money(cents=10_000))

    payments = {"charge": OutcomeUnknown(), "settle": settle}
    async with shop_with(mode, payments=payments) as shop:
        order = await shop.checkout()
        await shop.sweep()
        assert (await shop.orders().order(order.order_id)).state is end


async def test_a_repeat_goes_on_where_the_first_run_stopped(mode: Mode) -> None:
    is_away = True  # for longer than a call over the wire is repeated

    def later(order_id: str, lines: tuple[Wanted, ...]) -> Reservation:
        if is_away:
            raise Unavailable("away")
        return reserve(order_id, lines)

    async with shop_with(mode, search={"reserve": later}) as shop:
        with pytest.raises(Unavailable):
            await shop.checkout()
        is_away = False
        stopped = await shop.orders().order(order_id_for("ada", "first"))
        assert stopped.state is OrderState.PLACED
        order = await shop.checkout()
        assert (order.order_id, order.state) == (stopped.order_id, OrderState.PAID)


async def test_the_sweep_cancels_what_was_left_before_payment(mode: Mode) -> None:
    async with shop_with(mode, search={"reserve": Unavailable("away")}) as shop:
        with pytest.raises(Unavailable):
            await shop.checkout()
        await shop.sweep()
        [order] = (await shop.orders().orders()).items
        assert order.state is OrderState.CANCELLED
        assert shop.asked(Search)[-1] == "release"
        assert not shop.asked(Payments)
        assert (await shop.orders().basket()).lines  # so that Ada can try again


async def test_a_paid_order_can_be_cancelled(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        order = await shop.checkout()
        for _ in range(2):
            cancelled = await shop.orders().cancel(order.order_id)
            assert cancelled.state is OrderState.CANCELLED
        assert shop.asked(Payments) == ["charge", "refund"]
        assert shop.asked(Search) == ["item", "reserve", "release"]


async def test_an_order_that_is_being_paid_cannot_be_cancelled(mode: Mode) -> None:
    async with shop_with(mode, payments={"charge": OutcomeUnknown()}) as shop:
        order = await shop.checkout()
        with pytest.raises(NotCancellable) as refused:
            await shop.orders().cancel(order.order_id)
        assert refused.value.state is OrderState.PAYING


async def test_following_an_order_ends_when_it_is_at_rest(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        order = await shop.checkout()
        steps = [step.state async for step in shop.orders().follow(order.order_id)]
        assert steps == [OrderState.PAID]


async def test_nobody_sees_the_order_of_another(mode: Mode) -> None:
    async with shop_with(mode) as shop:
        order = await shop.checkout()
        bob = shop.orders(user="bob")
        assert not (await bob.orders()).items
        with pytest.raises(UnknownOrder):
            await bob.order(order.order_id)
        with pytest.raises(UnknownOrder):
            await bob.cancel(order.order_id)
        with pytest.raises(UnknownOrder):
            [step async for step in bob.follow(order.order_id)]


def test_the_number_of_an_order_follows_from_who_asks_with_which_key() -> None:
    assert order_id_for("ada", "first") == order_id_for("ada", "first")
    numbers = {order_id_for(who, key) for who in ("ada", "bob") for key in ("first", "second")}
    assert len(numbers) == 4
