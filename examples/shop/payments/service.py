"""The payments service.

The intent to charge is durable before the issuer is asked, and a charge is sent at most once. What
gets no answer stays `pending` until `reconcile` has asked the issuer what became of it.
"""

from contextlib import suppress
from datetime import timedelta
from typing import final

from borough import Clock, Database, Outside, Service, Settings, Transaction, every
from shop.payments import data
from shop.payments.contract import (
    CardDeclined,
    Money,
    NotCaptured,
    OutcomeUnknown,
    Payment,
    PaymentCaptured,
    PaymentFailed,
    PaymentRefunded,
    Payments,
    PaymentState,
)
from shop.payments.data import PaymentRow
from shop.payments.issuer import CardIssuer, Declined, NoAnswer

PENDING, CAPTURED = PaymentState.PENDING, PaymentState.CAPTURED
FAILED, REFUNDED = PaymentState.FAILED, PaymentState.REFUNDED


class PaymentSettings(Settings):
    """Where the card issuer is, and how long it is waited for."""

    issuer_url: str
    answer_within_s: float = 1.0
    ask_again_after_s: float = 2.0
    give_up_after_s: float = 5.0


@final
class PaymentService(Service, Payments):
    """Charges a card once per order, and gives the money back."""

    settings: PaymentSettings
    db: Database
    clock: Clock
    outside: Outside

    async def open(self) -> None:
        settings = self.settings
        self._issuer = CardIssuer(
            settings.issuer_url, settings.answer_within_s, self.clock.monotonic, self.outside
        )

    async def close(self) -> None:
        self._issuer.close()

    async def charge(self, order_id: str, amount: Money, card: str) -> Payment:
        async with self.db.transaction() as tx:
            known = await data.payment(tx, order_id)
            if known is None:
                await data.begin(tx, order_id, amount, card, self.clock.now())
        if known is not None:
            return await self._known(known)
        try:
            issuer_id = await self._issuer.charge(order_id, amount, card)
        except Declined as refusal:
            failed = await self._fail(order_id, str(refusal))
            raise CardDeclined(reason=failed.reason) from None
        except NoAnswer:
            raise OutcomeUnknown() from None
        return await self._capture(order_id, issuer_id)

    async def settle(self, order_id: str) -> Payment:
        async def body(tx: Transaction) -> PaymentRow:
            payment = await data.payment(tx, order_id)
            if payment is None:
                reason = "the payment was never begun"
                payment = await data.close(tx, order_id, reason, self.clock.now())
                tx.publish(PaymentFailed(order_id=order_id, reason=reason))
            return payment

        return (await self.db.transact(body)).shown()

    async def refund(self, order_id: str) -> Payment:
        async with self.db.transaction() as tx:
            payment = await data.payment(tx, order_id)
            if payment is None or payment.state in (PENDING, FAILED):
                raise NotCaptured()
            if payment.state is REFUNDED:
                return await tx.answer(payment.shown())
            await data.ask_for_refund(tx, order_id, self.clock.now())
        try:
            issuer_id = await self._issuer.refund(order_id)
        except NoAnswer:
            raise OutcomeUnknown() from None
        return await self._give_back(order_id, issuer_id)

    @every("1s")
    async def reconcile(self) -> None:
        """Ask the issuer about everything that has had no answer."""
        now = self.clock.now()
        unheard = now - timedelta(seconds=self.settings.ask_again_after_s)
        hopeless = now - timedelta(seconds=self.settings.give_up_after_s)
        try:
            for payment in await data.without_outcome(self.db, unheard):
                issuer_id = await self._issuer.find(payment.order_id)
                if issuer_id is not None:
                    with suppress(CardDeclined):
                        await self._capture(payment.order_id, issuer_id)
                elif payment.began_at < hopeless:
                    await self._fail(payment.order_id, "the card issuer did not answer")
            for payment in await data.without_refund(self.db, unheard):
                issuer_id = await self._issuer.refund(payment.order_id)
                await self._give_back(payment.order_id, issuer_id)
        except NoAnswer:
            return  # the issuer is away; the next run asks again

    async def _known(self, payment: PaymentRow) -> Payment:
        """The outcome of a charge that was sent before."""
        if payment.state is FAILED:
            raise CardDeclined(reason=payment.reason)
        if payment.state is PENDING:
            raise OutcomeUnknown()
        async with self.db.transaction() as tx:
            return await tx.answer(payment.shown())

    async def _capture(self, order_id: str, issuer_id: str) -> Payment:
        """Book what the issuer has taken. Raises `CardDeclined` where that was given up before: it goes back."""

        async def body(tx: Transaction) -> Payment | CardDeclined:
            payment = await data.existing(tx, order_id)
            before = payment.state
            if before in (PENDING, FAILED):
                payment = await data.move(tx, order_id, CAPTURED, payment.reason)
                await data.book(tx, "capture", payment, issuer_id, self.clock.now())
            if before is FAILED:
                await data.ask_for_refund(tx, order_id, self.clock.now())
                return await tx.answer(CardDeclined(reason=payment.reason))
            if before is PENDING:
                tx.publish(PaymentCaptured(order_id=order_id, amount=payment.amount))
            return await tx.answer(payment.shown())

        found = await self.db.transact(body)
        if isinstance(found, CardDeclined):
            raise found
        return found

    async def _fail(self, order_id: str, reason: str) -> PaymentRow:
        async def body(tx: Transaction) -> PaymentRow:
            payment = await data.existing(tx, order_id)
            if payment.state is PENDING:
                payment = await data.move(tx, order_id, FAILED, reason)
                tx.publish(PaymentFailed(order_id=order_id, reason=reason))
            return payment

        return await self.db.transact(body)

    async def _give_back(self, order_id: str, issuer_id: str) -> Payment:
        async def body(tx: Transaction) -> Payment:
            payment = await data.existing(tx, order_id)
            if payment.state is CAPTURED:
                payment = await data.move(tx, order_id, REFUNDED)
                await data.book(tx, "refund", payment, issuer_id, self.clock.now())
                tx.publish(PaymentRefunded(order_id=order_id, amount=payment.amount))
            return await tx.answer(payment.shown())

        return await self.db.transact(body)
