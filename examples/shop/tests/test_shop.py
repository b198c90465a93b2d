"""The whole shop: five services, a card issuer, and one order through all of them."""

import asyncio
from pathlib import Path

import pytest

from borough.testing import Mode, Running, start
from shop.accounts.contract import Accounts
from shop.conftest import RunningIssuer
from shop.notifications.contract import Notifications
from shop.orders.contract import Orders, OrderState, PaymentDeclined
from shop.search.contract import Search

SHOP = Path(__file__).parents[1]
SKU = "KIT-0001"


async def ada(shop: Running) -> str:
    """Ada signs up and chooses two kettles."""
    account = await shop.client(Accounts).sign_up("ada@shop.example", "Ada", "correct horse")
    await shop.client(Orders, user=account.account_id).put_in_basket(SKU, 2)
    return account.account_id


async def stock(shop: Running) -> int:
    return (await shop.client(Search).item(SKU)).stock


async def subjects(shop: Running, account_id: str) -> set[str]:
    """In no order: events of two services have none among them."""
    await shop.quiet()
    mails = await shop.client(Notifications, user=account_id).mails()
    found = {mail.subject for mail in mails.items}
    assert len(found) == len(mails.items)
    return found


async def test_a_checkout_passes_through_all_five(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, settings=issuer.settings) as shop:
        before = await stock(shop)
        who = await ada(shop)
        order = await shop.client(Orders, user=who, key="one").checkout("4242424242424242")
        assert order.state is OrderState.PAID
        assert await stock(shop) == before - 2
        [entry] = issuer.entries()
        assert (entry.did, entry.cents) == ("charged", order.total_cents)
        assert await subjects(shop, who) == {
            "Welcome to the shop",
            f"Your order {order.order_id[:8]} is paid",
        }


async def test_a_declined_card_leaves_nothing_behind(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, settings=issuer.settings) as shop:
        before = await stock(shop)
        who = await ada(shop)
        with pytest.raises(PaymentDeclined):
            await shop.client(Orders, user=who, key="one").checkout("4000000000000002")
        assert await stock(shop) == before
        [regret] = await subjects(shop, who) - {"Welcome to the shop"}
        assert "did not go through" in regret


@pytest.mark.parametrize(
    ("card", "end"),
    [("4000000000000119", OrderState.PAID), ("4000000000000341", OrderState.DECLINED)],
)
async def test_an_issuer_that_does_not_answer_is_asked_until_it_is_clear(
    mode: Mode, issuer: RunningIssuer, card: str, end: OrderState
) -> None:
    settings = issuer.hurried if end is OrderState.PAID else issuer.hopeless
    async with start(SHOP, mode=mode, settings=settings) as shop:
        before = await stock(shop)
        who = await ada(shop)
        orders = shop.client(Orders, user=who, key="one")
        order = await orders.checkout(card)
        assert order.state is OrderState.PAYING
        async with asyncio.timeout(10):
            steps = [step.state async for step in orders.follow(order.order_id)]
        assert steps[-1] is end
        assert await stock(shop) == (before - 2 if end is OrderState.PAID else before)
        assert len(await subjects(shop, who)) == 2


async def test_a_cancelled_order_gives_money_and_stock_back(
    mode: Mode, issuer: RunningIssuer
) -> None:
    async with start(SHOP, mode=mode, settings=issuer.settings) as shop:
        before = await stock(shop)
        who = await ada(shop)
        orders = shop.client(Orders, user=who, key="one")
        order = await orders.checkout("4242424242424242")
        assert (await orders.cancel(order.order_id)).state is OrderState.CANCELLED
        assert await stock(shop) == before
        assert [entry.did for entry in issuer.entries()] == ["charged", "refunded"]
        assert len(await subjects(shop, who)) == 3
