"""From RabbitMQ the TypeScript service hears all, once, though it or the broker is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from borough.brokers.rabbitmq import RabbitmqBroker, RabbitmqTerms
from borough.engines.rabbitmq import RabbitmqServer
from borough.errors import BrokerError
from borough.ports import Message
from borough.services.settings import Secret
from tests.polyglot.test_events import ADA, OPENED
from tests.polyglot.typescript import Notifications, event, require_typescript
from tests.servers.rabbitmq import rabbitmq as rabbitmq

TOPIC = "accounts.Accounts"
PATIENCE_S = 40.0


def opened(number: int, of: int = 7) -> Message:
    """An account was opened; `of` keys."""
    body = event(f"e{number}", OPENED, {**ADA, "account_id": f"a{number}"})
    return Message(f"e{number}", TOPIC, OPENED, f"key {number % of}", number + 1, body, number)


async def until_heard(service: Notifications, count: int) -> None:
    """Wait until so many events are in its inbox."""
    ends = time.monotonic() + PATIENCE_S
    while (found := service.rows("select count(*) from inbox")[0][0]) < count:
        assert time.monotonic() < ends, f"{found} of {count}: {service.said[-500:]}"
        await asyncio.sleep(0.05)


class Bench:
    """A broker, and lives of the service that read from it."""

    def __init__(self, server: RabbitmqServer, folder: Path) -> None:
        require_typescript()
        prefix = f"test.{folder.name}"
        self._folder = folder
        self._environment = {
            "NOTIFICATIONS_AMQP_URL": f"file:{folder / 'url'}",
            "NOTIFICATIONS_AMQP_PREFIX": prefix,
            "SHOP_PUSH_SECRET": "",
        }
        (folder / "url").write_text(server.url + "\n")
        self.broker = RabbitmqBroker(Secret(server.url), RabbitmqTerms(prefix=prefix))
        self.services: list[Notifications] = []

    def begin(self) -> Notifications:
        """One more life."""
        service = Notifications(self._folder, **self._environment)
        self.services.append(service)
        return service

    async def publish(self, *numbers: int) -> None:
        """Have them at the broker, however often that takes."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            try:
                await self.broker.publish([opened(number) for number in numbers])
                return
            except BrokerError:
                assert time.monotonic() < ends
                await asyncio.sleep(0.2)

    async def close(self) -> None:
        """End everything."""
        for service in self.services:
            service.close()
        await self.broker.close()


@pytest_asyncio.fixture
async def bench(rabbitmq: RabbitmqServer, tmp_path: Path) -> AsyncIterator[Bench]:
    found = Bench(rabbitmq, tmp_path)
    try:
        await found.broker.open()
        yield found
    finally:
        await found.close()


async def test_a_service_that_is_killed_again_and_again_hears_all_once(bench: Bench) -> None:
    service = bench.begin()
    for first in range(0, 200, 40):
        await bench.publish(*range(first, first + 40))
        await asyncio.sleep(0.05)
        service.close()
        service = bench.begin()
    await until_heard(service, 200)
    assert len(service.mails) == 200
    assert service.rows("select count(*) from mails") == [(200,)]
    assert service.stop() == 0


async def test_order_holds_per_key(bench: Bench) -> None:
    service = bench.begin()
    await bench.publish(*range(120))
    await until_heard(service, 120)
    assert service.stop() == 0  # what it says of a mail comes after the inbox has it
    lines = [json.loads(line) for line in service.said.splitlines()]
    told = [int(line["event"][1:]) for line in lines if line["message"] == "mail sent"]
    for key in range(7):
        assert [number for number in told if number % 7 == key] == list(range(key, 120, 7))


async def test_it_goes_on_when_the_broker_has_been_killed(
    bench: Bench, rabbitmq: RabbitmqServer
) -> None:
    service = bench.begin()
    await bench.publish(*range(20))
    await until_heard(service, 20)
    rabbitmq.kill()
    rabbitmq.restart()  # in this thread: the node ends with the thread that has started it
    await bench.publish(*range(20, 40))
    await until_heard(service, 40)
    assert len(service.mails) == 40


async def test_what_it_can_never_read_is_in_its_dead_queue(bench: Bench) -> None:
    service = bench.begin()
    unreadable = Message("e0", TOPIC, OPENED, None, 1, event("e0", OPENED, None), 0)
    await bench.broker.publish([unreadable])
    await bench.publish(1)
    await until_heard(service, 1)
    assert service.mails == ["e1.eml"]
    assert "is dead" in service.said
