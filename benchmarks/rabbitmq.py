"""Events through outbox, RabbitMQ and inbox, beside bare aio-pika and FastStream on queues of the same kind.

Each candidate publishes and consumes in one process on one core, the broker has the other. Ours commits
a row with each event at both ends; the others have no database at all.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import msgspec
import uvloop
from faststream.rabbit import RabbitBroker, RabbitExchange, RabbitQueue

from benchmarks.children import CLIENT_CORE, SERVER_CORE, pinned
from benchmarks.events import EVENTS, street
from benchmarks.report import Report
from borough.brokers.rabbitmq import RabbitmqBroker, RabbitmqTerms
from borough.engines.rabbitmq import RabbitmqServer
from borough.runtime.footing import settle_memory
from borough.services.settings import Secret

WHAT = "publish and consume, confirms and acknowledgements, 400-byte events, a quorum queue on one node"
TERMS = RabbitmqTerms()
TOPIC = "sales.Sales"
KIND = f"{TOPIC}.Sold"
GROUP = "mail.hear"
BODY = b"x" * 450  # as long as the document of one of our events
WARM_UP = 500


def measure(rounds: int) -> Report:
    """Throughput of a burst, and the CPU of the candidate's own process."""
    with tempfile.TemporaryDirectory(prefix="borough-bench-") as folder:
        with pinned(SERVER_CORE):
            server = RabbitmqServer.start(Path(folder) / "rabbitmq")
        try:
            with pinned(CLIENT_CORE), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(_measure(Path(folder), server.url, rounds))
        finally:
            server.stop()


async def _measure(folder: Path, url: str, rounds: int) -> Report:
    report = Report("rabbitmq", WHAT)
    ours = report.new("outbox, broker, inbox: each with its row", "events/s")
    ours_cost = report.new("CPU of it", "us/event")
    bare = report.new("aio-pika", "messages/s")
    bare_cost = report.new("CPU of it", "us/message")
    fast = report.new("FastStream", "messages/s")
    fast_cost = report.new("CPU of it", "us/message")
    settle_memory()
    async with street(folder, _broker(url, "ours")) as sales:
        for _ in range(rounds):
            seconds, cpu_s = await sales.burst()
            ours.values.append(EVENTS / seconds)
            ours_cost.values.append(cpu_s / EVENTS * 1e6)
            for candidate, series, cost in (
                (_bare, bare, bare_cost),
                (_faststream, fast, fast_cost),
            ):
                seconds, cpu_s = await candidate(url)
                series.values.append(EVENTS / seconds)
                cost.values.append(cpu_s / EVENTS * 1e6)
    report.hold(report.add(ours.over(bare, "ours over aio-pika")), at_least=0.8)
    report.hold(report.add(ours.over(fast, "ours over FastStream")), at_least=1.0)
    return report


def _broker(url: str, prefix: str) -> RabbitmqBroker:
    return RabbitmqBroker(Secret(url), msgspec.structs.replace(TERMS, prefix=prefix))


async def _same_queue(url: str, prefix: str) -> tuple[str, str]:
    """An exchange and a bound queue exactly as ours are."""
    broker = _broker(url, prefix)
    await broker.open()
    await broker.join(GROUP, TOPIC)
    await broker.close()
    return f"{prefix}.{TOPIC}", f"{prefix}.{GROUP}.{TOPIC}"


class _Counted:
    """Waits until so many have come."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.all_come = asyncio.Event()

    def one(self) -> None:
        self._left -= 1
        if not self._left:
            self.all_come.set()


async def _burst(publish: Callable[[int], Awaitable[object]], counted: _Counted) -> Any:
    began, cpu = time.perf_counter(), time.process_time()
    for first in range(0, EVENTS, TERMS.window):
        await asyncio.gather(*(publish(first + n) for n in range(TERMS.window)))
    await counted.all_come.wait()
    return time.perf_counter() - began, time.process_time() - cpu


async def _bare(url: str) -> tuple[float, float]:
    exchange_name, queue_name = await _same_queue(url, "bare")
    publishing, consuming = await aio_pika.connect(url), await aio_pika.connect(url)
    counted = _Counted(EVENTS)
    try:
        channel = await publishing.channel(on_return_raises=True)
        exchange = await channel.get_exchange(exchange_name)
        reading = await consuming.channel()
        await reading.set_qos(prefetch_count=TERMS.prefetch)
        queue = await reading.get_queue(queue_name)

        async def receive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await message.ack()
            counted.one()

        await queue.consume(receive)

        async def publish(number: int) -> None:
            message = aio_pika.Message(
                BODY,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=str(number),
                content_type="application/cloudevents+json",
            )
            await exchange.publish(message, KIND, mandatory=True)

        return await _burst(publish, counted)  # type: ignore[no-any-return]
    finally:
        await publishing.close()
        await consuming.close()


async def _faststream(url: str) -> tuple[float, float]:
    exchange_name, queue_name = await _same_queue(url, "fast")
    broker = RabbitBroker(url, logger=None, default_channel=_channel())
    exchange = RabbitExchange(exchange_name, declare=False)
    queue = RabbitQueue(queue_name, declare=False, bind_arguments={})
    counted = _Counted(EVENTS)

    @broker.subscriber(queue)
    async def receive(_body: bytes) -> None:
        counted.one()

    await broker.start()

    async def publish(number: int) -> None:
        await broker.publish(
            BODY,
            exchange=exchange,
            routing_key=KIND,
            mandatory=True,
            persist=True,
            message_id=str(number),
            content_type="application/octet-stream",
        )

    try:
        return await _burst(publish, counted)  # type: ignore[no-any-return]
    finally:
        await broker.stop()


def _channel() -> Any:
    from faststream.rabbit import Channel

    return Channel(prefetch_count=TERMS.prefetch, publisher_confirms=True, on_return_raises=True)
