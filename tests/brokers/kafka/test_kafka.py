"""What Kafka is told, what others see of it, and what its broker's end does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import confluent_kafka.admin
import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from borough.brokers.kafka import KafkaBroker, KafkaTerms
from borough.clock import SystemClock
from borough.contracts.retention import FOREVER, LATEST_PER_KEY, Retention
from borough.engines.kafka import KafkaServer
from borough.errors import BrokerError, ConfigurationError, TopicReplaced
from borough.ports import Delivery, Message, Subscription
from tests.servers.kafka import kafka, terms

__all__ = ["kafka", "terms"]

TOPIC = "orders.Orders"
ADMIN: Any = confluent_kafka.admin


@pytest.fixture
async def broker(terms: KafkaTerms) -> AsyncIterator[KafkaBroker]:
    broker = KafkaBroker(terms, SystemClock())
    await broker.open()
    yield broker
    await broker.close()


def messages(first: int, last: int) -> list[Message]:
    return [
        Message(
            f"e{number}",
            TOPIC,
            "orders.Orders.Placed",
            f"k{number % 7}",
            number,
            json.dumps({"specversion": "1.0", "id": f"e{number}"}).encode(),
            number - 1,
        )
        for number in range(first, last)
    ]


async def taken(subscription: Subscription, count: int) -> list[Delivery]:
    found: list[Delivery] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += await subscription.take(500)
    return found


def settings_of(terms: KafkaTerms, topic: str) -> dict[str, str]:
    admin = ADMIN.AdminClient({"bootstrap.servers": ",".join(terms.servers)})
    resource = ADMIN.ConfigResource(ADMIN.ResourceType.TOPIC, terms.topic(topic))
    (told,) = admin.describe_configs([resource]).values()
    return {name: entry.value for name, entry in told.result(20).items()}


async def becomes(terms: KafkaTerms, wanted: dict[str, str]) -> None:
    """A setting is kept when it is answered, and told by each broker once that has heard of it."""
    async with asyncio.timeout(60):
        while {name: settings_of(terms, TOPIC)[name] for name in wanted} != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_topic_is_made_so_that_nothing_is_lost_and_told_what_it_retains(
    broker: KafkaBroker, terms: KafkaTerms
) -> None:
    await broker.publish(messages(1, 4))
    made = settings_of(terms, TOPIC)
    wanted = {"retention.ms": "-1", "cleanup.policy": "delete", "min.insync.replicas": "1"}
    wanted |= {"unclean.leader.election.enable": "false", "max.message.bytes": "1114112"}
    assert {name: made[name] for name in wanted} == wanted
    await broker.trim(TOPIC, Retention("age", 7200), 0.0)
    await becomes(terms, {"retention.ms": "7200000"})
    await broker.trim(TOPIC, LATEST_PER_KEY, 0.0)
    await becomes(terms, {"cleanup.policy": "compact"})
    await broker.trim(TOPIC, FOREVER, 0.0)
    await becomes(terms, {"cleanup.policy": "delete", "retention.ms": "-1"})


async def test_others_read_our_events_as_cloudevents_with_their_keys(
    broker: KafkaBroker, terms: KafkaTerms
) -> None:
    await broker.publish(messages(1, 2))
    other = Consumer(
        {
            "bootstrap.servers": ",".join(terms.servers),
            "group.id": f"{terms.prefix}other",
            "auto.offset.reset": "earliest",
        }
    )
    other.subscribe([terms.topic(TOPIC)])
    record = await asyncio.to_thread(other.poll, 30)
    await asyncio.to_thread(other.close)
    assert record is not None
    headers = dict(record.headers() or ())
    assert headers["content-type"] == b"application/cloudevents+json; charset=UTF-8"
    assert record.key() == b"k1"
    assert json.loads(record.value() or b"")["id"] == "e1"


async def test_an_event_of_another_publisher_is_heard_and_what_is_none_is_passed_over(
    broker: KafkaBroker, terms: KafkaTerms, caplog: pytest.LogCaptureFixture
) -> None:
    subscription = await broker.subscribe("one", TOPIC, 0)
    other = Producer({"bootstrap.servers": ",".join(terms.servers)})
    other.produce(terms.topic(TOPIC), b"no event", b"k", partition=0)
    event = b'{"specversion":"1.0","id":"x","source":"/s","type":"orders.Orders.Placed","data":{}}'
    kind: dict[str, str | bytes | None] = {"content-type": "application/cloudevents+json"}
    other.produce(terms.topic(TOPIC), event, b"k", partition=0, headers=kind)
    await asyncio.to_thread(other.flush, 30)
    (found,) = await taken(subscription, 1)
    assert (found.message.id, found.message.key, found.message.sequence) == ("x", "k", 0)
    assert found.position == 2 == await broker.end(TOPIC)
    assert (await broker.facts(TOPIC)).bytes is None  # Kafka tells no sizes
    assert "offset 0 in partition 0" in caplog.text


async def test_what_is_done_is_committed_so_that_any_tool_of_kafka_shows_the_lag(
    broker: KafkaBroker, terms: KafkaTerms
) -> None:
    await broker.publish(messages(1, 101))
    subscription = await broker.subscribe("one", TOPIC, 0)
    found = await taken(subscription, 100)
    await subscription.done(found[59].position)
    await subscription.close()
    other = Consumer({"bootstrap.servers": ",".join(terms.servers), "group.id": terms.group("one")})
    places = [TopicPartition(terms.topic(TOPIC), each) for each in range(terms.partitions)]
    committed = await asyncio.to_thread(other.committed, places, 30)
    await asyncio.to_thread(other.close)
    assert sum(each.offset for each in committed) == 60
    again = await broker.subscribe("one", TOPIC, found[59].position)
    assert [d.message.sequence for d in await taken(again, 40)] == list(range(61, 101))


async def test_a_new_handler_of_an_old_name_hears_nothing_of_before(broker: KafkaBroker) -> None:
    await broker.publish(messages(1, 11))
    first = await broker.subscribe("one", TOPIC, 0)
    await first.done((await taken(first, 3))[-1].position)
    await first.close()
    await broker.join("one", TOPIC, anew=True)
    subscription = await broker.subscribe("one", TOPIC, await broker.end(TOPIC))
    await broker.publish(messages(11, 12))
    assert [d.message.sequence for d in await taken(subscription, 1)] == [11]


async def test_a_position_that_the_cluster_has_forgotten_is_found_again(
    broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.publish(messages(1, 51))
    subscription = await broker.subscribe("never committed", TOPIC, 30)
    assert [d.message.sequence for d in await taken(subscription, 20)] == list(range(31, 51))
    assert "does not know any more" in caplog.text


async def test_a_reader_that_retention_overtakes_goes_on_and_counts_what_it_missed(
    broker: KafkaBroker, terms: KafkaTerms
) -> None:
    subscription = await broker.subscribe("one", TOPIC, 0)
    large = [
        msgspec.structs.replace(each, key="k", body=b"x" * 900_000) for each in messages(1, 31)
    ]
    await broker.publish(large)
    first = await taken(subscription, 1)
    admin = ADMIN.AdminClient({"bootstrap.servers": ",".join(terms.servers)})
    places = [TopicPartition(terms.topic(TOPIC), each, -1) for each in range(terms.partitions)]
    for told in admin.delete_records(places).values():
        await asyncio.to_thread(told.result, 30)
    await broker.publish(messages(31, 32))
    numbers = [delivery.message.sequence for delivery in first]
    async with asyncio.timeout(30):
        while numbers[-1] != 31:
            numbers += [d.message.sequence for d in await subscription.take(500)]
    assert subscription.missed > 0
    assert len(numbers) + subscription.missed == 31 == subscription.position


class LeapingClock(SystemClock):
    """A clock that can be put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def test_another_client_takes_the_place_of_one_that_asks_no_more(
    terms: KafkaTerms, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LeapingClock()
    broker = KafkaBroker(terms, clock)
    await broker.open()
    subscription: Any = await broker.subscribe("one", TOPIC, 0)
    await broker.publish(messages(1, 31))
    assert len(await taken(subscription, 30)) == 30

    async def look_later() -> None:
        clock.ahead_s += 11
        async with asyncio.timeout(1):
            await subscription.take(500)

    for _ in range(3):  # all has come: who waits goes on to
        with pytest.raises(TimeoutError):
            await look_later()
    assert not caplog.records
    places = [TopicPartition(terms.topic(TOPIC), each) for each in range(terms.partitions)]
    # as if the client had forgotten them; it is told by the thread that asks it
    subscription._orders.append(partial(subscription._consumer.pause, places))
    await asyncio.sleep(0.3)
    await broker.publish(messages(31, 61))
    with pytest.raises(TimeoutError):
        await look_later()
    clock.ahead_s += 11
    assert [d.message.sequence for d in await taken(subscription, 30)] == list(range(31, 61))
    assert "another client asks now" in caplog.text
    await broker.close()


async def published(broker: KafkaBroker, batch: list[Message]) -> None:
    """Have them at the broker, however often that takes."""
    while True:
        try:
            await broker.publish(batch)
            return
        except BrokerError:
            await asyncio.sleep(0.1)


async def test_of_many_records_that_are_no_events_few_lines_are_said(
    terms: KafkaTerms, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LeapingClock()
    broker = KafkaBroker(terms, clock)
    await broker.open()
    subscription = await broker.subscribe("one", TOPIC, 0)
    other = Producer({"bootstrap.servers": ",".join(terms.servers)})
    for _ in range(50):
        other.produce(terms.topic(TOPIC), b"no event", b"k", partition=0)
    await asyncio.to_thread(other.flush, 30)
    await broker.publish(messages(1, 2))
    await taken(subscription, 1)
    while subscription.position < 51:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await subscription.take(500)
    (told,) = caplog.messages
    assert "one passes over offset 0 in partition 0" in told
    clock.ahead_s += 61
    await broker.publish(messages(2, 3))
    await taken(subscription, 1)
    assert "one has passed over 49 more records" in caplog.text
    assert "the last at offset 49 in partition 0: it has neither the content type" in caplog.text
    await broker.close()


def deleted(terms: KafkaTerms, topic: str) -> None:
    admin = ADMIN.AdminClient({"bootstrap.servers": ",".join(terms.servers)})
    for told in admin.delete_topics([terms.topic(topic)]).values():
        told.result(30)


async def test_a_topic_that_is_deleted_and_made_anew_below_its_reader_is_said_to_be_another(
    terms: KafkaTerms,
) -> None:
    clock = LeapingClock()
    broker = KafkaBroker(msgspec.structs.replace(terms, publish_s=1.0), clock)
    await broker.open()
    subscription = await broker.subscribe("one", TOPIC, 0)
    await broker.publish(messages(1, 31))
    assert len(await taken(subscription, 30)) == 30
    await asyncio.to_thread(deleted, terms, TOPIC)
    async with asyncio.timeout(30):
        # it is longer now than what was read of the other
        await published(broker, messages(31, 131))
    clock.ahead_s += 31
    with pytest.raises(TopicReplaced, match="was deleted, and made anew"):
        await taken(subscription, 100)
    with pytest.raises(TopicReplaced):
        await subscription.take(500)
    await subscription.close()
    again = await broker.subscribe("one", TOPIC, 0)
    assert [d.message.sequence for d in await taken(again, 100)] == list(range(31, 131))
    await broker.close()


async def test_after_kill_9_nothing_acknowledged_is_missing_and_publishing_goes_on(
    kafka: KafkaServer, terms: KafkaTerms
) -> None:
    broker = KafkaBroker(msgspec.structs.replace(terms, publish_s=1.0), SystemClock())
    await broker.open()
    subscription = await broker.subscribe("one", TOPIC, 0)
    async with asyncio.timeout(30):
        await published(broker, messages(1, 101))
    first = await taken(subscription, 100)
    kafka.kill()
    with pytest.raises(BrokerError):
        await broker.publish(messages(101, 201))
    kafka.restart()  # in this thread: the server would end with any other
    async with asyncio.timeout(10):
        await published(broker, messages(101, 201))
    numbers = {delivery.message.sequence for delivery in first}
    async with asyncio.timeout(30):
        while len(numbers) < 200:
            numbers.update(d.message.sequence for d in await subscription.take(500))
    assert numbers == set(range(1, 201))
    await broker.close()


async def test_of_two_systems_with_a_service_of_one_name_the_second_is_told_and_does_not_start(
    broker: KafkaBroker, terms: KafkaTerms
) -> None:
    bank = KafkaBroker(msgspec.structs.replace(terms, system="bank"), SystemClock())
    await bank.open()
    try:
        await asyncio.gather(broker.claim(["mail", "orders"]), bank.claim(["loans"]))
        await broker.claim(["mail"])  # another process of it
        with pytest.raises(ConfigurationError, match=r"mail .* is of the system 'system'") as told:
            await bank.claim(["mail"])
        assert "this is 'bank'" in str(told.value)
        assert "events.kafka.prefix" in str(told.value)
        with pytest.raises(ConfigurationError):
            await bank.publish(messages(1, 2))
        assert await broker.end(TOPIC) == 0
    finally:
        await bank.close()
