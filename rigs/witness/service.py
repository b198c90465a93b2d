"""The witness: it keeps notes, and writes down every event that it hears, as often as it is told.

Nothing here makes a second telling harmless, unlike the shop, whose life cycles forgive much: what
is heard twice stands there twice.
"""

from typing import final

from borough import Database, Service, Transaction, on
from rigs.witness.contract import Note, Noted, Witness
from shop.accounts.contract import AccountOpened, Accounts
from shop.orders.contract import OrderCancelled, OrderPaid, OrderPlaced, Orders
from shop.payments.contract import PaymentCaptured, PaymentFailed, PaymentRefunded, Payments


@final
class WitnessService(Service, Witness):
    """Keeps notes and hears everything."""

    accounts: Accounts
    orders: Orders
    payments: Payments
    db: Database

    async def keep(self, note: Note) -> Note:
        async with self.db.transaction() as tx:
            is_new = await tx.execute(
                "insert into notes (writer, number) values ($1, $2) on conflict do nothing",
                note.writer,
                note.number,
            )
            if is_new:
                tx.publish(Noted(writer=note.writer, number=note.number))
        return note

    @on(Noted)
    async def hear_note(self, event: Noted, tx: Transaction) -> None:
        await _write(tx, "Noted", event.writer, event.number)

    @on(AccountOpened)
    async def hear_account(self, event: AccountOpened, tx: Transaction) -> None:
        await _write(tx, "AccountOpened", event.account_id)

    @on(OrderPlaced, OrderPaid, OrderCancelled)
    async def hear_order(
        self, event: OrderPlaced | OrderPaid | OrderCancelled, tx: Transaction
    ) -> None:
        await _write(tx, type(event).__name__, event.order_id)

    @on(PaymentCaptured, PaymentFailed, PaymentRefunded)
    async def hear_payment(
        self, event: PaymentCaptured | PaymentFailed | PaymentRefunded, tx: Transaction
    ) -> None:
        await _write(tx, type(event).__name__, event.order_id)


async def _write(tx: Transaction, name: str, key: str, number: int = 0) -> None:
    await tx.execute("insert into heard (name, key, number) values ($1, $2, $3)", name, key, number)
