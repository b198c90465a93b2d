"""Events that travel through Kafka take effect once, in order per key, whoever is interrupted."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import Consumer as Reader
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.clock import SystemClock
from borough.reliability.inbox import InboxTerms
from borough.reliability.lease import Terms
from borough.reliability.retries import Retries
from borough.runtime.dead_letters import DeadLetters, Selection
from borough.runtime.pulse import until_quiet
from tests.runtime.stage import TOPIC, Placed, Stage, remember, running, staged
from tests.servers.kafka import kafka, terms

__all__ = ["kafka", "terms"]

EVENTS = 300


@pytest.fixture
async def stage(terms: KafkaTerms, tmp_path: Path) -> AsyncIterator[Stage]:
    clock = SystemClock()
    async with staged(tmp_path, clock, Terms(lasting_s=3.0)) as stage:
        broker = KafkaBroker(terms, clock)
        stage.broker = broker  # type: ignore[assignment]
        await broker.open()
        yield stage


async def test_an_event_takes_effect_once_though_its_consumers_come_and_go(stage: Stage) -> None:
    orders, mail = await stage.place("orders"), await stage.place("mail")
    first = stage.consumer(mail, remember(mail), takes_transaction=True)
    await first.register()
    relay = stage.relay(orders)
    async with running(relay):
        for number in range(EVENTS // 2):
            await orders.place_order(number, f"c{number % 5}")
        task = asyncio.create_task(first.run())
        for number in range(EVENTS // 2, EVENTS):
            await orders.place_order(number, f"c{number % 5}")
        task.cancel()  # in the midst of its work
        await asyncio.wait([task])
        again = stage.consumer(mail, remember(mail), takes_transaction=True)
        async with running(again), asyncio.timeout(60):
            await until_quiet([relay, again], stage.activity)
    seen = await mail.seen()
    assert sorted(seen) == list(range(EVENTS))
    for customer in range(5):
        of_one = [number for number in seen if number % 5 == customer]
        assert of_one == sorted(of_one)


async def forget_all_but_one(terms: KafkaTerms, group: str) -> None:
    """As if the offsets of a group had expired in the partitions that have been quiet."""
    servers = ",".join(terms.servers)
    admin: Any = AdminClient({"bootstrap.servers": servers})

    def forget() -> None:
        reader = Reader({"bootstrap.servers": servers, "group.id": terms.group(group)})
        places = [TopicPartition(terms.topic(TOPIC), each) for each in range(terms.partitions)]
        busy = max(reader.committed(places, 30), key=lambda place: place.offset)
        (told,) = admin.delete_consumer_groups([terms.group(group)]).values()
        told.result(30)
        reader.commit(offsets=[busy], asynchronous=False)
        reader.close()

    await asyncio.to_thread(forget)


async def test_offsets_that_the_cluster_forgets_bring_no_event_again(
    stage: Stage, terms: KafkaTerms
) -> None:
    orders, mail = await stage.place("orders"), await stage.place("mail")

    async def publish(*numbers: int) -> None:
        relay = stage.relay(orders)
        for number in numbers:
            await orders.place_order(number, f"c{number}")
        async with running(relay), asyncio.timeout(60):
            await until_quiet([relay], stage.activity)

    async def hear_all() -> None:
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        async with running(consumer), asyncio.timeout(60):
            await until_quiet([consumer], stage.activity)

    await publish(*range(10))
    consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
    await consumer.register()
    await forget_all_but_one(terms, "mail.hear")  # also where it begins is noted
    await publish(*range(10, 20))
    await hear_all()
    assert sorted(await mail.seen()) == list(range(10, 20))
    await forget_all_but_one(terms, "mail.hear")
    async with mail.db.transaction() as tx:
        await tx.execute("delete from borough_inbox")  # it remembers for a week
    await publish(20)
    await hear_all()
    assert sorted(await mail.seen()) == list(range(10, 21))


async def test_what_was_counted_in_another_log_passes_over_no_event(
    stage: Stage, terms: KafkaTerms, caplog: pytest.LogCaptureFixture
) -> None:
    orders, mail = await stage.place("orders"), await stage.place("mail")

    async def hear(*numbers: int) -> None:
        await stage.broker.close()
        one = msgspec.structs.replace(terms, partitions=1)
        stage.broker = KafkaBroker(one, stage.clock)  # type: ignore[assignment]
        await stage.broker.open()
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        for number in numbers:
            await orders.place_order(number)
        async with running(relay), asyncio.timeout(60):
            await until_quiet([relay], stage.activity)
        async with running(consumer), asyncio.timeout(60):
            await until_quiet([consumer], stage.activity)

    async with mail.store.transaction() as tx:
        await tx.execute(  # as RabbitMQ has left it, read by an earlier version
            "insert into borough_positions (handler, topic, position, sequence, places) "
            "values ('mail.hear', $1, 3, 1, 'asked')",
            TOPIC,
        )
    await hear(0, 1, 2, 3, 4)
    assert await mail.seen() == list(range(5))
    assert "is of another log (rabbitmq, now kafka " in caplog.text
    admin: Any = AdminClient({"bootstrap.servers": ",".join(terms.servers)})
    (told,) = admin.delete_topics([terms.topic(TOPIC)]).values()
    await asyncio.to_thread(told.result, 30)
    await hear(*range(5, 12))  # a topic of the same name, longer than the other was
    assert await mail.seen() == list(range(12))


async def test_a_dead_letter_is_in_the_database_and_a_copy_in_a_topic(
    stage: Stage, terms: KafkaTerms
) -> None:
    orders, mail = await stage.place("orders"), await stage.place("mail")

    async def hear(event: Placed, _tx: Any) -> None:
        raise ValueError(f"no place for {event.number}")

    terms_of_one = InboxTerms(retries=Retries(attempts=1))
    consumer = stage.consumer(mail, hear, takes_transaction=True, terms=terms_of_one)
    await consumer.register()
    await orders.place_order(7)
    relay = stage.relay(orders)
    async with running(relay, consumer), asyncio.timeout(60):
        await until_quiet([relay, consumer], stage.activity)
    (dead,) = await DeadLetters(mail.store, stage.clock).events(Selection(), 2)
    assert "no place for 7" in dead.cause
    reader = Reader({"bootstrap.servers": ",".join(terms.servers), "group.id": "dead"})
    name = terms.topic(f"{TOPIC}.dead")
    reader.assign([TopicPartition(name, each, 0) for each in range(terms.partitions)])
    record = await asyncio.to_thread(reader.poll, 30)
    await asyncio.to_thread(reader.close)
    assert record is not None
    headers = dict(record.headers() or ())
    assert headers["borough-handler"] == b"mail.hear"
    assert headers["ce_id"].decode() == dead.event_id  # type: ignore[union-attr]
