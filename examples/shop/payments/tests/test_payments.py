"""Payments against a real issuer: accepted, declined, late, silent and away."""

import asyncio
from pathlib import Path

import pytest

from borough.testing import Mode, free_port, start
from shop.conftest import RunningIssuer, WatchedIssuer, payment_settings, running_issuer
from shop.demo.issuer import Answer
from shop.payments.contract import (
    CardDeclined,
    Money,
    NotCaptured,
    OutcomeUnknown,
    Payments,
    PaymentState,
)

SHOP = Path(__file__).parents[2]
GOOD, BAD, LATE, SILENT = (
    "4242424242424242",
    "4000000000000002",
    "4000000000000119",
    "4000000000000341",
)
AMOUNT = Money(cents=4990)
AT_ONCE = {"services.payments.settings.give_up_after_s": 0.0}


async def test_an_order_is_charged_once(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.settings) as shop:
        payments = shop.client(Payments)
        first = await payments.charge("one", AMOUNT, GOOD)
        assert first.state is PaymentState.CAPTURED
        assert await payments.charge("one", AMOUNT, GOOD) == first
        assert [(entry.did, entry.cents) for entry in issuer.entries()] == [("charged", 4990)]
        entries = await shop.database("payments").all(str, "select entry from ledger")
        assert entries == ["capture"]


async def test_a_declined_order_stays_declined(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.settings) as shop:
        payments = shop.client(Payments)
        for card in (BAD, GOOD):
            with pytest.raises(CardDeclined) as refused:
                await payments.charge("one", AMOUNT, card)
            assert refused.value.reason == "card declined"
        assert [entry.did for entry in issuer.entries()] == ["declined"]


async def test_a_late_answer_is_found_out_later(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.hurried) as shop:
        payments = shop.client(Payments)
        with pytest.raises(OutcomeUnknown):
            await payments.charge("one", AMOUNT, LATE)
        await issuer.booked.wait()
        await shop.tick("payments.reconcile")
        assert (await payments.settle("one")).state is PaymentState.CAPTURED
        assert (await payments.charge("one", AMOUNT, LATE)).state is PaymentState.CAPTURED
        assert [entry.did for entry in issuer.entries()] == ["charged"]


async def test_a_charge_that_was_never_booked_has_failed(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.hopeless) as shop:
        payments = shop.client(Payments)
        with pytest.raises(OutcomeUnknown):
            await payments.charge("one", AMOUNT, SILENT)
        await shop.tick("payments.reconcile")
        assert (await payments.settle("one")).state is PaymentState.FAILED
        with pytest.raises(CardDeclined):
            await payments.charge("one", AMOUNT, GOOD)
        assert not issuer.entries()


class HesitantIssuer(WatchedIssuer):
    """One that takes the money only when it is let."""

    def __init__(self, ledger: Path) -> None:
        super().__init__(ledger)
        self.asked, self.may = asyncio.Event(), asyncio.Event()

    async def charge(self, order_id: str, cents: int, currency: str, card: str) -> Answer:
        self.asked.set()
        await self.may.wait()
        return await super().charge(order_id, cents, currency, card)


async def test_money_that_comes_after_it_was_given_up_goes_back(tmp_path: Path, mode: Mode) -> None:
    made: list[HesitantIssuer] = []

    def make(ledger: Path) -> WatchedIssuer:
        made.append(HesitantIssuer(ledger))
        return made[0]

    async with (
        running_issuer(tmp_path, make) as issuer,
        start(SHOP, mode=mode, only=["payments"], settings={**issuer.settings, **AT_ONCE}) as shop,
    ):
        payments = shop.client(Payments)
        charging = asyncio.ensure_future(payments.charge("one", AMOUNT, GOOD))
        await made[0].asked.wait()
        await shop.tick("payments.reconcile")
        assert (await payments.settle("one")).state is PaymentState.FAILED
        made[0].may.set()
        with pytest.raises(CardDeclined):
            await charging
        await shop.tick("payments.reconcile")
        assert (await payments.settle("one")).state is PaymentState.REFUNDED
        assert [entry.did for entry in issuer.entries()] == ["charged", "refunded"]
        entries = await shop.database("payments").all(str, "select entry from ledger order by 1")
        assert entries == ["capture", "refund"]


async def test_an_order_that_was_settled_cannot_be_charged_any_more(
    mode: Mode, issuer: RunningIssuer
) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.settings) as shop:
        payments = shop.client(Payments)
        assert (await payments.settle("one")).state is PaymentState.FAILED
        with pytest.raises(CardDeclined):
            await payments.charge("one", AMOUNT, GOOD)
        assert not issuer.entries()


async def test_money_is_given_back_once(mode: Mode, issuer: RunningIssuer) -> None:
    async with start(SHOP, mode=mode, only=["payments"], settings=issuer.settings) as shop:
        payments = shop.client(Payments)
        with pytest.raises(NotCaptured):
            await payments.refund("one")
        await payments.charge("one", AMOUNT, GOOD)
        assert (await payments.refund("one")).state is PaymentState.REFUNDED
        assert (await payments.refund("one")).state is PaymentState.REFUNDED
        assert [entry.did for entry in issuer.entries()] == ["charged", "refunded"]


async def test_an_issuer_that_is_away_leaves_the_outcome_open(mode: Mode) -> None:
    settings = payment_settings(free_port())
    async with start(SHOP, mode=mode, only=["payments"], settings=settings) as shop:
        payments = shop.client(Payments)
        with pytest.raises(OutcomeUnknown):
            await payments.charge("one", AMOUNT, GOOD)
        await shop.tick("payments.reconcile")
        assert (await payments.settle("one")).state is PaymentState.PENDING


async def test_the_number_of_a_card_is_not_kept(issuer: RunningIssuer) -> None:
    async with start(SHOP, only=["payments"], settings=issuer.settings) as shop:
        await shop.client(Payments).charge("one", AMOUNT, GOOD)
        row = await shop.database("payments").one(dict, "select * from payments")
        assert row["card_end"] == "4242"
        assert GOOD not in str(row)
