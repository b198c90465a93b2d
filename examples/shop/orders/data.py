"""The rows of the orders service: baskets and orders."""

from collections.abc import Sequence
from datetime import datetime

from borough import Database, Struct, Transaction
from shop.orders.contract import Buyer, Line, Order, OrderState, Progress
from shop.orders.life_cycle import message


class OrderRow(Struct):
    """An order as it stands in the database."""

    order_id: str
    account_id: str
    buyer: Buyer
    state: OrderState
    reason: str
    missing_sku: str | None
    lines: tuple[Line, ...]
    total_cents: int
    placed_at: datetime

    def shown(self) -> Order:
        """What the contract tells of it."""
        return Order(
            order_id=self.order_id,
            state=self.state,
            message=message(self.state, self.reason),
            lines=self.lines,
            total_cents=self.total_cents,
            placed_at=self.placed_at,
        )

    def progress(self) -> Progress:
        """Where it stands."""
        return Progress(state=self.state, message=message(self.state, self.reason))


def total(lines: Sequence[Line]) -> int:
    """What the lines cost together."""
    return sum(line.quantity * line.price_cents for line in lines)


async def basket(db: Database | Transaction, account_id: str) -> tuple[Line, ...]:
    """What is in a customer's basket."""
    lines = await db.all(
        Line,
        "select sku, name, quantity, price_cents from baskets where account_id = $1 order by name",
        account_id,
    )
    return tuple(lines)


async def put(tx: Transaction, account_id: str, line: Line) -> None:
    """Set how much of an item is in the basket."""
    await tx.execute(
        "insert into baskets (account_id, sku, name, quantity, price_cents)"
        " values ($1, $2, $3, $4, $5)"
        " on conflict (account_id, sku) do update set"
        " name = excluded.name, quantity = excluded.quantity, price_cents = excluded.price_cents",
        account_id,
        line.sku,
        line.name,
        line.quantity,
        line.price_cents,
    )


async def take_out(tx: Transaction, account_id: str, sku: str) -> None:
    """Take an item out of the basket."""
    await tx.execute("delete from baskets where account_id = $1 and sku = $2", account_id, sku)


async def empty(tx: Transaction, account_id: str) -> None:
    """Take everything out of the basket."""
    await tx.execute("delete from baskets where account_id = $1", account_id)


async def refill(tx: Transaction, order: OrderRow) -> None:
    """Put an order's items back into the basket, save those that are in it again."""
    await tx.many(
        "insert into baskets (account_id, sku, name, quantity, price_cents)"
        " values ($1, $2, $3, $4, $5) on conflict (account_id, sku) do nothing",
        [
            (order.account_id, line.sku, line.name, line.quantity, line.price_cents)
            for line in order.lines
        ],
    )


async def order(db: Database, order_id: str) -> OrderRow | None:
    """One order."""
    return await db.maybe(OrderRow, "select * from orders where order_id = $1", order_id)


async def existing(tx: Transaction, order_id: str) -> OrderRow:
    """An order that surely is there."""
    return await tx.one(OrderRow, "select * from orders where order_id = $1", order_id)


async def orders_of(db: Database, account_id: str, after: str | None, limit: int) -> list[OrderRow]:
    """A customer's orders, the latest first, those older than `after`."""
    return await db.all(
        OrderRow,
        "select * from orders where account_id = $1 and ((placed_at, order_id) <"
        " (select placed_at, order_id from orders where order_id = $2) or $2 is null)"
        " order by placed_at desc, order_id desc limit $3",
        account_id,
        after,
        limit,
    )


async def place(
    tx: Transaction, order_id: str, buyer: Buyer, lines: tuple[Line, ...], now: datetime
) -> OrderRow:
    """Add an order."""
    return await tx.one(
        OrderRow,
        "insert into orders"
        " (order_id, account_id, buyer, state, lines, total_cents, placed_at, changed_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $7) returning *",
        order_id,
        buyer.account_id,
        buyer,
        OrderState.PLACED,
        lines,
        total(lines),
        now,
    )


async def price(tx: Transaction, order_id: str, lines: tuple[Line, ...]) -> None:
    """Write the binding prices into an order."""
    await tx.execute(
        "update orders set lines = $2, total_cents = $3 where order_id = $1",
        order_id,
        lines,
        total(lines),
    )


async def move(
    tx: Transaction,
    order_id: str,
    state: OrderState,
    now: datetime,
    reason: str = "",
    missing_sku: str | None = None,
) -> OrderRow:
    """Change the state of an order. A reason that was given stays."""
    return await tx.one(
        OrderRow,
        "update orders set state = $2, changed_at = $3,"
        " reason = coalesce(nullif($4, ''), reason),"
        " missing_sku = coalesce($5, missing_sku) where order_id = $1 returning *",
        order_id,
        state,
        now,
        reason,
        missing_sku,
    )


async def unfinished(db: Database, before: datetime) -> list[OrderRow]:
    """Orders on their way that have not moved since, the oldest first."""
    return await db.all(
        OrderRow,
        "select * from orders where state not in ('paid', 'declined', 'cancelled')"
        " and changed_at < $1 order by changed_at limit 100",
        before,
    )
