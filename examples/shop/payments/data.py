"""The rows of the payments service: one payment per order, and the ledger."""

from datetime import datetime

from borough import Database, Struct, Transaction
from shop.payments.contract import Money, Payment, PaymentState


class PaymentRow(Struct):
    """A payment as it stands in the database."""

    order_id: str
    state: PaymentState
    cents: int
    currency: str
    reason: str
    began_at: datetime

    @property
    def amount(self) -> Money:
        return Money(cents=self.cents, currency=self.currency)

    def shown(self) -> Payment:
        """What the contract tells of it."""
        return Payment(
            order_id=self.order_id, state=self.state, amount=self.amount, reason=self.reason
        )


async def payment(tx: Transaction, order_id: str) -> PaymentRow | None:
    """The payment of an order."""
    return await tx.maybe(PaymentRow, "select * from payments where order_id = $1", order_id)


async def existing(tx: Transaction, order_id: str) -> PaymentRow:
    """The payment of an order that surely has one."""
    return await tx.one(PaymentRow, "select * from payments where order_id = $1", order_id)


async def begin(
    tx: Transaction, order_id: str, amount: Money, card: str, now: datetime
) -> PaymentRow:
    """Write down that a card is about to be charged."""
    return await tx.one(
        PaymentRow,
        "insert into payments (order_id, state, cents, currency, card_end, began_at)"
        " values ($1, 'pending', $2, $3, $4, $5) returning *",
        order_id,
        amount.cents,
        amount.currency,
        card[-4:],
        now,
    )


async def close(tx: Transaction, order_id: str, reason: str, now: datetime) -> PaymentRow:
    """Write down that an order will never be charged."""
    return await tx.one(
        PaymentRow,
        "insert into payments (order_id, state, cents, currency, card_end, reason, began_at)"
        " values ($1, 'failed', 0, 'EUR', '', $2, $3) returning *",
        order_id,
        reason,
        now,
    )


async def move(tx: Transaction, order_id: str, state: PaymentState, reason: str = "") -> PaymentRow:
    """Change the state of a payment."""
    return await tx.one(
        PaymentRow,
        "update payments set state = $2, reason = $3 where order_id = $1 returning *",
        order_id,
        state,
        reason,
    )


async def ask_for_refund(tx: Transaction, order_id: str, now: datetime) -> None:
    """Write down that the issuer is about to be asked for a refund."""
    await tx.execute(
        "update payments set refund_asked_at = $2 where order_id = $1 and refund_asked_at is null",
        order_id,
        now,
    )


async def book(
    tx: Transaction, entry: str, payment: PaymentRow, issuer_id: str, now: datetime
) -> None:
    """Write money in (`capture`) or out (`refund`) into the ledger."""
    await tx.execute(
        "insert into ledger (order_id, entry, cents, currency, issuer_id, booked_at)"
        " values ($1, $2, $3, $4, $5, $6)",
        payment.order_id,
        entry,
        payment.cents,
        payment.currency,
        issuer_id,
        now,
    )


async def without_outcome(db: Database, before: datetime) -> list[PaymentRow]:
    """Charges that nobody has heard of since, the oldest first."""
    return await db.all(
        PaymentRow,
        "select * from payments where state = 'pending' and began_at < $1"
        " order by began_at limit 100",
        before,
    )


async def without_refund(db: Database, before: datetime) -> list[PaymentRow]:
    """Refunds that nobody has heard of since, the oldest first."""
    return await db.all(
        PaymentRow,
        "select * from payments where state = 'captured' and refund_asked_at < $1"
        " order by refund_asked_at limit 100",
        before,
    )
