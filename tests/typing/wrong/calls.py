"""Calls that a contract does not promise."""

from collections.abc import AsyncIterator
from typing import Protocol

from borough import Reply, Struct, contract, get, post
from borough.testing import fake


class NewOrder(Struct):
    sku: str


class Order(NewOrder):
    order_id: str


@contract("orders", version="1.0")
class Orders(Protocol):
    @post("/")
    async def place(self, order: NewOrder) -> Order: ...

    @get("/{order_id}")
    async def order(self, order_id: str) -> Reply[Order]: ...

    @get("/")
    def follow(self) -> AsyncIterator[Order]: ...


async def calls(orders: Orders) -> None:
    await orders.place("GDN-0042")  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    await orders.place()  # expect-mypy: call-arg  # expect-pyright: reportCallIssue
    # expect-mypy: call-arg  # expect-pyright: reportCallIssue
    await orders.place(NewOrder(sku="a"), 2)
    # expect-mypy: attr-defined  # expect-pyright: reportAttributeAccessIssue
    await orders.remove("a")
    # expect-mypy: assignment  # expect-pyright: reportAssignmentType
    placed: str = await orders.place(NewOrder(sku="a"))
    # expect-mypy: attr-defined  # expect-pyright: reportAttributeAccessIssue
    print(placed, (await orders.order("a")).order_id)
    async for order in orders.follow():
        # expect-mypy: attr-defined  # expect-pyright: reportAttributeAccessIssue
        print(order.price)


class Half:
    async def place(self, order: NewOrder) -> Order:
        return Order(sku=order.sku, order_id="a")


async def fakes() -> None:
    await calls(Half())  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
    await fake(Orders).order(1)  # expect-mypy: arg-type  # expect-pyright: reportArgumentType
