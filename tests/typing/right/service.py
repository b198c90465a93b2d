"""Services, clients and fakes as a user writes them: clean under both checkers."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, final

from borough import (
    ANYONE,
    UNSET,
    Clock,
    Database,
    Page,
    Projections,
    Reply,
    Secret,
    Service,
    Settings,
    Transaction,
    Unset,
    client,
    current_call,
    every,
    in_thread,
    on,
    projection,
    provide,
    raw,
)
from borough.testing import fake
from tests.typing.right.contract import (
    Money,
    NewOrder,
    NotFound,
    Order,
    OrderPlaced,
    Orders,
    OrdersTwo,
    Refused,
    Registered,
    State,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def answer_hook(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI application."""


class ShopSettings(Settings):
    folder: str = "mailbox"
    password: Secret | None = None


@final
class Newer:
    """Answers the second version of the contract."""

    def __init__(self, service: "OrderService") -> None:
        self.service = service

    async def name(self) -> str:
        return "orders"

    async def place(self, order: NewOrder) -> int:
        return 1


@final
class OrderService(Service, Orders):
    """Every form of a service's members."""

    others: Orders
    db: Database
    projections: Projections
    settings: ShopSettings
    clock: Clock
    newer = provide(OrdersTwo, Newer)

    async def open(self) -> None:
        self._seen: dict[str, Order] = {}

    async def place(self, order: NewOrder) -> Order:
        async with self.db.transaction() as tx:
            placed = await tx.one(Order, "insert into orders values ($1) returning *", order.sku)
            tx.publish(OrderPlaced(order_id=placed.order_id, price=placed.price))
            return await tx.answer(placed)

    async def order(self, order_id: str) -> Reply[Order]:
        found = await self.db.maybe(Order, "select * from orders where id = $1", order_id)
        if found is None:
            raise NotFound(order_id=order_id)
        return Reply(value=found, etag=order_id)

    async def orders(self, after: str | None = None, limit: int = 20) -> Page[Order]:
        rows = await self.db.all(Order, "select * from orders limit $1", limit)
        return Page(items=tuple(rows), next=None)

    async def reprice(self, order_id: str, price: Money) -> Order:
        raise Refused(order_id=order_id)

    async def change(self, order_id: str, note: str | Unset | None = UNSET) -> None:
        subject: str = current_call().user.subject
        await in_thread(print, subject, note)

    async def cancel(self, order_id: str) -> None:
        await self.others.cancel(order_id)

    async def follow(self, order_id: str) -> AsyncIterator[State]:
        yield State.PLACED

    async def picture(
        self, order_id: str, picture: bytes, source: str | None = None, basket: str = ""
    ) -> None:
        print(len(picture))

    @on(OrderPlaced)
    async def remember(self, event: OrderPlaced, tx: Transaction) -> None:
        await tx.execute("insert into seen values ($1)", event.order_id)

    @projection(OrderPlaced, Registered, tables=["placed"], generation=2, name="placed")
    async def show(self, event: OrderPlaced | Registered, tx: Transaction) -> None:
        if isinstance(event, OrderPlaced):
            await tx.execute("insert into placed values ($1)", event.order_id)

    async def is_shown(self, position: str) -> bool:
        await self.projections.reached("placed", position, within_s=0.5)
        lag = await self.projections.lag("placed")
        return not lag.rebuilding and lag.seconds < 1

    async def soon(self, event: OrderPlaced) -> str:
        async with self.db.transaction() as tx:
            first = tx.publish(event, after=timedelta(minutes=5))
            tx.publish(event, at=datetime(2030, 1, 1, tzinfo=UTC))
            await tx.cancel(first)
        return tx.position

    @every("30s")
    async def tidy(self) -> None: ...

    @raw("/hook", allow=ANYONE)
    def hook(self) -> Application:
        return answer_hook


async def uses(orders: Orders) -> int:
    """A client is the contract itself."""
    placed = await orders.place(NewOrder(sku="GDN-0042", count=2))
    page = await orders.orders(limit=5)
    async for state in orders.follow(placed.order_id):
        if state is State.UNKNOWN:
            break
    try:
        reply = await orders.order(order_id=placed.order_id)
    except NotFound as problem:
        print(problem.order_id, problem.status, problem.values)
        return 0
    return reply.value.price.cents + sum(order.count for order in page.items)


async def in_an_application() -> int:
    """A client that an application asks for is the contract, too."""
    page = await client(Orders).orders(limit=5)
    return len(page.items)


async def in_a_test() -> None:
    """Any object of the right shape is a fake, and so is what `fake` makes."""
    faked = fake(Orders)
    service = OrderService(others=faked)
    await uses(service)
    await uses(faked)
