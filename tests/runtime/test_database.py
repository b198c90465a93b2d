"""What a transaction publishes commits with its rows, or not at all."""

import asyncio
import math
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from borough.contracts.operation import BoundEvent
from borough.contracts.struct import Event, Instant, Key
from borough.errors import BoroughError, TransactionMisuse
from borough.ports import LONGEST_EVENT
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import EventReader, EventUnreadable, EventWriter
from borough.runtime.pulse import Pulse
from borough.services.context import CURRENT, Call, inside_transaction
from borough.telemetry.trace import TraceContext
from borough.testing.clock import ManualClock
from tests.runtime.stage import PLACED, Foreign, Place, Placed, Renamed, staged


async def outbox(place: Place) -> list[tuple[str, str, str | None]]:
    return await place.store.all(
        tuple[str, str, str | None], "select topic, type, key from borough_outbox order by sequence"
    )


async def test_events_commit_with_the_rows_in_the_order_of_publishing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            await tx.execute("insert into placed values (1, 'ann')")
            tx.publish(Placed(customer="ann", number=1))
            tx.publish(Renamed(number=2))
        assert await outbox(orders) == [
            ("orders.Orders", "orders.Orders.Placed", "ann"),
            ("orders.Orders", "orders.Orders.Renamed", None),
        ]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 21])
async def test_so_many_events_at_once_follow_one_another_in_the_outbox(
    tmp_path: Path, count: int
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            ids = [tx.publish(Placed(customer="ann", number=each)) for each in range(count)]
        rows = await orders.store.all(
            tuple[int, str], "select sequence, id from borough_outbox order by sequence"
        )
        assert rows == [(tx.sequence - count + 1 + each, ids[each]) for each in range(count)]


async def test_a_failed_body_publishes_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        with pytest.raises(RuntimeError):  # noqa: PT012
            async with orders.db.transaction() as tx:
                tx.publish(Placed(customer="ann", number=1))
                raise RuntimeError
        assert await outbox(orders) == []
        assert orders.published.count == 0


async def test_a_commit_with_events_wakes_the_relay_and_one_without_does_not(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            await tx.execute("insert into placed values (1, 'ann')")
        assert orders.published.count == 0
        await orders.place_order(2)
        assert orders.published.count == 1


async def test_a_savepoint_that_rolls_back_takes_its_events_with_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            tx.publish(Placed(customer="kept", number=1))
            with pytest.raises(RuntimeError):  # noqa: PT012
                async with tx.savepoint():
                    tx.publish(Placed(customer="dropped", number=2))
                    raise RuntimeError
            async with tx.savepoint():
                tx.publish(Placed(customer="kept too", number=3))
        assert [key for _, _, key in await outbox(orders)] == ["kept", "kept too"]


async def test_an_event_of_another_service_is_refused_and_nothing_commits(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        with pytest.raises(TransactionMisuse, match="Foreign is no event of"):  # noqa: PT012
            async with orders.db.transaction() as tx:
                await tx.execute("insert into placed values (1, 'ann')")
                tx.publish(Foreign(number=1))
        assert await orders.store.one(int, "select count(*) from placed") == 0


async def test_publishing_after_the_block_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            pass
        with pytest.raises(TransactionMisuse, match="outside of the block"):
            tx.publish(Placed(customer="ann", number=1))


class Priced(Event):
    """An event with a constraint."""

    cents: Annotated[int, msgspec.Meta(ge=0)]


async def test_an_event_that_breaks_its_type_is_refused_where_it_is_published(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        bound = BoundEvent(Priced, "orders.Orders.Priced", "orders.Orders", None)
        db = ServiceDatabase(
            orders.store, {Priced: EventWriter(bound, "/shop/orders")}, stage.clock, Pulse()
        )
        async with db.transaction() as tx:
            with pytest.raises(TransactionMisuse, match=r"Priced cannot be published: .*cents"):
                tx.publish(Priced(cents=-1))
            tx.publish(Priced(cents=0))
        assert len(await outbox(orders)) == 1


class Weighed(Event):
    """An event with what not every number and instant is."""

    share: float | None = None
    price: Decimal = Decimal(0)
    at: Instant | None = None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"share": math.nan}, "not a finite number at #/share"),
        ({"price": Decimal("NaN")}, "not a finite number at #/price"),
        ({"at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))}, "no time in UTC"),
        ({"at": datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=3208)))}, "has seconds"),
    ],
)
async def test_an_event_with_what_no_other_reader_finds_in_it_is_refused(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        bound = BoundEvent(Weighed, "orders.Orders.Weighed", "orders.Orders", None)
        writer = EventWriter(bound, "/shop/orders")
        db = ServiceDatabase(orders.store, {Weighed: writer}, stage.clock, Pulse())
        async with db.transaction() as tx:
            with pytest.raises(TransactionMisuse, match=words):
                tx.publish(Weighed(**fields))
            tx.publish(
                Weighed(share=0.5, price=Decimal("1.50"), at=datetime(2026, 1, 1, tzinfo=UTC))
            )
        assert len(await outbox(orders)) == 1


async def test_an_event_of_a_mebibyte_is_published_and_one_byte_more_is_refused(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, ManualClock()) as stage:
        orders = await stage.place("orders")
        async with orders.db.transaction() as tx:
            tx.publish(Placed(customer="", number=1))
        empty = await orders.store.one(int, "select length(body) from borough_outbox")
        most = (LONGEST_EVENT - empty) // 2  # the key stands in the envelope as well
        async with orders.db.transaction() as tx:
            tx.publish(Placed(customer="x" * most, number=1 + 9 * (empty % 2)))
            for too_long in ("x" * (most + 1), "\0" * (most // 6 + 1)):
                with pytest.raises(
                    TransactionMisuse, match=r"Placed cannot be published: .* bytes"
                ):
                    tx.publish(Placed(customer=too_long, number=1))
        longest = await orders.store.one(int, "select max(length(body)) from borough_outbox")
        assert longest == LONGEST_EVENT
        assert len(await outbox(orders)) == 2


async def test_the_context_says_that_a_transaction_is_open(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        assert not inside_transaction()
        async with orders.db.transaction():
            assert inside_transaction()
        assert not inside_transaction()
        with pytest.raises(RuntimeError):
            async with orders.db.transaction():
                raise RuntimeError
        assert not inside_transaction()


async def test_a_task_begun_in_a_transaction_is_outside_once_it_has_ended(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")
        ended = asyncio.Event()
        found: list[bool] = []

        async def later() -> None:
            found.append(inside_transaction())
            await ended.wait()
            found.append(inside_transaction())

        async with orders.db.transaction() as tx:
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
            await tx.execute("insert into placed values (1, 'ann')")
        ended.set()
        await task
        assert found == [True, False]


async def test_a_transaction_that_a_generator_closes_elsewhere_is_closed_here(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        orders = await stage.place("orders")

        async def opening() -> AsyncGenerator[None, None]:
            async with orders.db.transaction():
                yield

        generator = opening()
        await anext(generator)
        assert inside_transaction()
        await asyncio.create_task(generator.aclose())
        assert not inside_transaction()
        async with orders.db.transaction():
            assert inside_transaction()
        assert not inside_transaction()


async def test_the_envelope_is_a_cloud_event_with_key_and_trace(tmp_path: Path) -> None:
    async with staged(tmp_path, ManualClock()) as stage:
        orders = await stage.place("orders")
        trace = TraceContext("1" * 32, "2" * 16, is_sampled=True)
        call = Call("orders.Orders.place", "orders", None, None, float("inf"), trace)
        token = CURRENT.set(call)
        async with orders.db.transaction() as tx:
            event_id = tx.publish(Placed(customer="ann", number=7))
        CURRENT.reset(token)
        body = await orders.store.one(bytes, "select body from borough_outbox")
        assert msgspec.json.decode(body) == {
            "specversion": "1.0",
            "id": event_id,
            "source": "/shop/orders",
            "type": "orders.Orders.Placed",
            "time": "2030-01-01T00:00:00Z",
            "datacontenttype": "application/json",
            "partitionkey": "ann",
            "traceparent": trace.traceparent,
            "data": {"customer": "ann", "number": 7},
        }


def test_a_reader_ignores_what_it_does_not_know() -> None:
    body = (
        b'{"specversion":"1.0","id":"a","source":"/x","type":"orders.Orders.Placed","subject":"s",'
        b'"madeup":3,"data":{"customer":"ann","number":7,"later":true}}'
    )
    envelope, event = EventReader(PLACED).read(body)
    assert event == Placed(customer="ann", number=7)
    assert envelope.id == "a"


def test_data_in_base64_is_read_too() -> None:
    body = (
        b'{"specversion":"1.0","id":"a","source":"/x","type":"t",'
        b'"data_base64":"eyJjdXN0b21lciI6ImFubiIsIm51bWJlciI6N30="}'
    )
    assert EventReader(PLACED).read(body)[1] == Placed(customer="ann", number=7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"specversion":"0.3","id":"a","source":"/x","type":"t","data":{}}',
        b'{"specversion":"1.0","id":"a","source":"/x","type":"t"}',
        b'{"specversion":"1.0","id":"a","source":"/x","type":"t","data":{"customer":"ann"}}',
        b'{"specversion":"1.0","id":"a","source":"/x","type":"t","data":{"customer":"\xff"}}',
    ],
)
def test_what_cannot_be_read_names_the_event(body: bytes) -> None:
    with pytest.raises(EventUnreadable, match=r"orders\.Orders\.Placed") as refused:
        EventReader(PLACED).read(body)
    assert isinstance(refused.value, BoroughError)


class Numbered(Event):
    """A key that is no text, under another name on the wire."""

    order: Key[int] = msgspec.field(name="orderNumber")


def test_a_key_is_text_whatever_its_type_and_wire_name() -> None:
    writer = EventWriter(BoundEvent(Numbered, "n.N.Numbered", "n.N", "orderNumber"), "/s/n")
    key, _ = writer.write(Numbered(order=12), "id", ManualClock().now(), None)
    assert key == "12"
