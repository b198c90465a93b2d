"""RabbitMQ keeps what every broker promises, in trouble of its own, and when others use it."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiormq
import msgspec
import pytest
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic
from pamqp.common import FieldTable

from borough.brokers.rabbitmq import RabbitmqBroker, RabbitmqTerms
from borough.brokers.rabbitmq.link import ended
from borough.engines.rabbitmq import RabbitmqServer
from borough.errors import BrokerError, ConfigurationError
from borough.ports import Broker, Delivery, Message, Subscription
from borough.runtime.pulse import until_quiet
from borough.services.settings import Secret
from borough.testing.conformance import BrokerConformance
from tests.runtime.stage import remember, running, staged

TOPIC = "orders.Orders"
COUNT = 2000
QUICK = RabbitmqTerms(patience_s=3.0)


async def test_who_gives_up_asking_how_many_wait_disturbs_no_reading(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker:
        subscription = await broker.subscribe("one", TOPIC, 0)
        await broker.publish([event(number) for number in range(1, 6)])
        await taken(subscription, 5)
        for turns in range(12):
            asking = asyncio.ensure_future(broker.waiting("one", TOPIC))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait([asking])
        await broker.publish([event(6)])
        assert [delivery.message.id for delivery in await taken(subscription, 1)] == ["e6"]


async def test_what_is_closed_at_the_broker_is_closed_however_often_one_is_cancelled() -> None:
    may_end, is_closed = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        await may_end.wait()
        is_closed.set()

    waiting = asyncio.ensure_future(ended(close()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert is_closed.is_set()


class TestRabbitmqBroker(BrokerConformance):
    """A quorum queue per handler."""

    @pytest.fixture(autouse=True)
    def on(self, rabbitmq: RabbitmqServer) -> None:
        self.url = rabbitmq.url

    async def make_broker(self, folder: Path) -> Broker:
        return RabbitmqBroker(Secret(self.url), RabbitmqTerms(prefix=folder.name))


def event(number: int, key: str | None = "k") -> Message:
    body = {"specversion": "1.0", "id": f"e{number}", "source": "/s", "type": f"{TOPIC}.Placed"}
    document = json.dumps({**body, "data": {"n": number}}).encode()
    return Message(f"e{number}", TOPIC, f"{TOPIC}.Placed", key, number, document, number - 1)


@asynccontextmanager
async def opened(
    server: RabbitmqServer, folder: Path, terms: RabbitmqTerms = QUICK
) -> AsyncGenerator[RabbitmqBroker]:
    terms = msgspec.structs.replace(terms, prefix=folder.name)
    broker = RabbitmqBroker(Secret(server.url), terms)
    await broker.open()
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def foreign(server: RabbitmqServer) -> AsyncGenerator[AbstractChannel]:
    """A client that is not ours."""
    connection = aiormq.Connection(server.url)
    await connection.connect()
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def taken(subscription: Subscription, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            try:
                found += await subscription.take(count - len(found))
            except BrokerError:
                await asyncio.sleep(0.1)
    return found


def numbers(found: Sequence[Delivery]) -> list[int]:
    return [delivery.message.sequence for delivery in found]


async def test_a_handlers_lag_is_what_its_queue_holds(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with staged(tmp_path) as stage, opened(rabbitmq, tmp_path) as broker:
        mail = await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True, broker=broker)
        await consumer.register()
        await broker.publish([event(number) for number in range(1, 8)])
        assert (await consumer.progress()).lag == 7


async def test_what_a_handler_was_given_and_has_not_done_is_part_of_its_lag(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def hear(_: object) -> None:
        begun.set()
        await go.wait()

    async with staged(tmp_path) as stage, opened(rabbitmq, tmp_path) as broker:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        consumer = stage.consumer(mail, hear, takes_transaction=False, broker=broker)
        await consumer.register()
        for number in range(7):
            await orders.place_order(number)
        relay = stage.relay(orders, broker)
        async with running(relay, consumer), asyncio.timeout(30):
            await until_quiet([relay], stage.activity)
            await begun.wait()
            while (await consumer.progress()).lag != 7:  # noqa: ASYNC110  some are on their way
                await asyncio.sleep(0.05)
            go.set()
            await until_quiet([consumer], stage.activity)
            assert (await consumer.progress()).lag == 0


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_publishing_and_reading_go_on_within_ten_seconds_of_a_restart(
    rabbitmq: RabbitmqServer, tmp_path: Path, end: str
) -> None:
    async with opened(rabbitmq, tmp_path) as broker:
        subscription = await broker.subscribe("mail.send", TOPIC, 0)
        await broker.publish([event(1), event(2)])
        first = await taken(subscription, 2)
        await subscription.done(first[0].position)
        await asyncio.sleep(0.05)  # its receipt is on its way
        rabbitmq.settle()
        getattr(rabbitmq, end)()
        with pytest.raises(BrokerError):
            await broker.publish([event(3)])
        rabbitmq.restart()  # not in a thread: it would end with that
        began = time.monotonic()
        while True:
            try:
                await broker.publish([event(3)])
                break
            except BrokerError:
                await asyncio.sleep(0.1)
        again = await taken(subscription, 2)
        assert time.monotonic() - began < 10
        assert sorted(numbers(again)) == [2, 3]
        await subscription.done(first[1].position)  # a receipt of the lost channel means nothing
        for delivery in again:
            await subscription.done(delivery.position)
        await subscription.close()
        assert await broker.waiting("mail.send", TOPIC) == 0


async def test_a_full_queue_is_told_and_loses_nothing(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path, RabbitmqTerms(queue_events=5)) as broker:
        await broker.join("mail.send", TOPIC)
        with pytest.raises(BrokerError, match="a queue is full"):
            await broker.publish([event(number) for number in range(1, COUNT + 1)])
        subscription = await broker.subscribe("mail.send", TOPIC, 0)
        found: set[int] = set()
        while len(found) < COUNT:
            with suppress(BrokerError):
                await broker.publish([event(n) for n in range(1, COUNT + 1) if n not in found][:30])
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    for delivery in await subscription.take(100):
                        found.add(delivery.message.sequence)
                        await subscription.done(delivery.position)


async def test_an_event_that_fits_into_no_frame_is_named_and_costs_no_connection(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker:
        await broker.publish([event(1)])
        with pytest.raises(BrokerError, match=r"event e2 of .* cannot be sent: its key and names"):
            await broker.publish([event(2, "k" * 140_000)])
        long_name = msgspec.structs.replace(event(3), type="a" * 300)
        with pytest.raises(BrokerError, match=r"event e3 of .* cannot be sent"):
            await broker.publish([long_name])
        await broker.publish([event(4)])


async def test_what_reaches_the_delivery_limit_comes_by_the_side_queue(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path, RabbitmqTerms(delivery_limit=2)) as broker:
        await broker.join("mail.send", TOPIC)
        await broker.publish([event(1)])
        for _ in range(8):  # as if the process died each time
            subscription = await broker.subscribe("mail.send", TOPIC, 0)
            assert numbers(await taken(subscription, 1)) == [1]
            await subscription.close()
        async with foreign(rabbitmq) as channel:
            side = f"{tmp_path.name}.mail.send.{TOPIC}.dead"
            declared = await channel.queue_declare(side, passive=True)
            assert declared.message_count == 1


async def test_a_deleted_queue_is_made_again_while_it_is_read(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker:
        subscription = await broker.subscribe("mail.send", TOPIC, 0)
        waiting = asyncio.ensure_future(taken(subscription, 1))
        async with foreign(rabbitmq) as channel:
            await channel.queue_delete(f"{tmp_path.name}.mail.send.{TOPIC}")
        while True:
            await broker.publish([event(1)])
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            if done:
                break
        assert numbers(waiting.result()) == [1]


async def test_other_settings_of_a_queue_are_refused_with_the_remedy(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker:
        await broker.join("mail.send", TOPIC)
    other = RabbitmqTerms(delivery_limit=7)
    async with opened(rabbitmq, tmp_path, other) as broker:
        with pytest.raises(ConfigurationError, match=r"raise events\.rabbitmq\.version"):
            await broker.join("mail.send", TOPIC)
    async with opened(rabbitmq, tmp_path, msgspec.structs.replace(other, version=2)) as broker:
        await broker.join("mail.send", TOPIC)


async def test_a_wrong_password_is_told_at_the_start(rabbitmq: RabbitmqServer) -> None:
    broker = RabbitmqBroker(Secret(rabbitmq.url.replace("borough:", "borough:no")))
    with pytest.raises(ConfigurationError, match="refuses the user or the password"):
        await broker.open()
    await broker.close()


async def test_a_broker_that_is_away_is_found_later(
    rabbitmq: RabbitmqServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = rabbitmq.url.replace(str(rabbitmq.port), "9")
    broker = RabbitmqBroker(Secret(url))
    await broker.open()
    assert "events wait until RabbitMQ can be had" in caplog.text
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9"):
        await broker.publish([event(1)])
    await broker.close()


async def test_a_blocked_connection_is_told_and_does_not_hold_the_relay(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path, RabbitmqTerms(patience_s=2.0)) as broker:
        await broker.publish([event(1)])
        await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "0")
        try:
            began = time.monotonic()
            with pytest.raises(BrokerError):  # RabbitMQ tells who publishes, once he does
                await broker.publish([event(2)])
            with pytest.raises(BrokerError, match="short of memory or disk"):
                await broker.publish([event(3)])
            assert time.monotonic() - began < 12
        finally:
            await asyncio.to_thread(rabbitmq.control, "set_vm_memory_high_watermark", "0.4")
        async with asyncio.timeout(10):
            while True:
                try:
                    await broker.publish([event(4)])
                    break
                except BrokerError:
                    await asyncio.sleep(0.1)


async def test_others_publish_cloud_events_in_both_modes(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker, foreign(rabbitmq) as channel:
        subscription = await broker.subscribe("mail.send", TOPIC, 0)
        exchange = f"{tmp_path.name}.{TOPIC}"
        document = event(7).body
        structured = Basic.Properties(content_type="application/cloudevents+json; charset=utf-8")
        await channel.basic_publish(document, exchange=exchange, properties=structured)
        headers: FieldTable = {
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": "b1",
            "cloudEvents:source": "/elsewhere",
            "cloudEvents:type": f"{TOPIC}.Placed",
            "cloudEvents:partitionkey": "k2",
        }
        binary = Basic.Properties(content_type="application/json", headers=headers)
        await channel.basic_publish(b'{"n":8}', exchange=exchange, properties=binary)
        await channel.basic_publish(b"junk", exchange=exchange, routing_key=f"{TOPIC}.Placed")
        found = [delivery.message for delivery in await taken(subscription, 3)]
        first, second, third = found
        assert (first.id, first.type, first.sequence) == ("e7", f"{TOPIC}.Placed", 0)
        assert first.body == document
        assert (second.id, second.key) == ("b1", "k2")
        assert json.loads(second.body)["data"] == {"n": 8}
        assert (third.type, third.body) == (f"{TOPIC}.Placed", b"junk")


async def test_others_hear_cloud_events_by_their_type(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    async with opened(rabbitmq, tmp_path) as broker, foreign(rabbitmq) as channel:
        await broker.publish([event(1)])  # nobody hears it, and nothing stops
        queue = f"{tmp_path.name}-elsewhere"
        await channel.queue_declare(queue, arguments={"x-queue-type": "quorum"}, durable=True)
        await channel.queue_bind(queue, f"{tmp_path.name}.{TOPIC}", f"{TOPIC}.Placed")
        await broker.publish([event(2, "customer-5")])
        got = await channel.basic_get(queue, no_ack=True)
        properties = got.header.properties
        assert properties.content_type == "application/cloudevents+json"
        ours = {
            "cloudEvents:sequence": 2,
            "cloudEvents:previous": 1,
            "cloudEvents:partitionkey": "customer-5",
        }
        assert properties.headers is not None
        assert ours.items() <= properties.headers.items()
        assert got.body == event(2).body


async def test_of_two_systems_with_a_service_of_one_name_the_second_is_told_and_does_not_start(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    bank = msgspec.structs.replace(QUICK, system="bank")
    async with opened(rabbitmq, tmp_path) as shop, opened(rabbitmq, tmp_path, bank) as other:
        await shop.claim(["mail", "orders"])
        await shop.claim(["mail"])  # another process of it
        await other.claim(["loans"])
        with pytest.raises(ConfigurationError, match=r"mail .* is of the system 'system'") as told:
            await other.claim(["mail"])
        assert "this is 'bank'" in str(told.value)
        assert "events.rabbitmq.prefix" in str(told.value)
        with pytest.raises(ConfigurationError):
            await other.join("mail.hear", TOPIC)
    async with opened(rabbitmq, tmp_path / "apart", bank) as apart:
        await apart.claim(["mail"])
        await apart.join("mail.hear", TOPIC)
