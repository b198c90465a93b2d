"""RabbitMQ keeps no history: the publisher's database does, and serves who begins later."""

import asyncio
from pathlib import Path
from typing import Any

import aiormq
import pytest

from borough import Service, System
from borough.clock import SystemClock
from borough.engines.rabbitmq import RabbitmqServer
from borough.runtime.configuration import Configuration
from borough.runtime.topics import survey
from borough.testing import Mode, start
from borough.testing.running import Running
from tests.cli.systems import write_system
from tests.cli.test_rebuild import PROJECTION
from tests.runtime.market import HearingService, Market, MarketService, Search, search, shown

NEAR_AND_FAR: tuple[Mode, ...] = ("local", "wire")


def on(server: RabbitmqServer, folder: Path) -> dict[str, Any]:
    return {
        "events.broker": "rabbitmq",
        "events.rabbitmq.url": server.address,
        "events.rabbitmq.prefix": folder.name,
        "events.lease_s": 0.3,
    }


def market(*others: type[Service]) -> System:
    return System([MarketService, *others])


async def set_prices(running: Running, *prices: tuple[str, int]) -> str:
    position = ""
    for item, cents in prices:
        position = await running.client(Market).set_price(item, cents)
    await running.quiet()
    return position


@pytest.mark.parametrize("mode", NEAR_AND_FAR)
async def test_a_new_projection_begins_with_the_earliest_event(
    rabbitmq: RabbitmqServer, tmp_path: Path, mode: Mode
) -> None:
    settings = on(rabbitmq, tmp_path)
    async with start(market(), data=tmp_path, settings=settings, mode=mode) as running:
        await set_prices(running, ("nut", 1), ("nut", 2), ("bolt", 5))
    async with start(market(search()), data=tmp_path, settings=settings, mode=mode) as running:
        await running.quiet()
        flags = {**settings, "data.folder": str(tmp_path)}
        [topic] = await survey(market(search()).configured(_configured(flags)), SystemClock())
        assert topic.facts is not None
        assert (topic.facts.records, topic.facts.end) == (3, 3)
        assert [(each.name, each.behind) for each in topic.handlers] == [("search.prices", 0)]
        assert await shown(running.database("search")) == {"nut": (2, 2), "bolt": (5, 1)}
        position = await set_prices(running, ("nut", 3))
        assert await running.client(Search).price("nut", position) == 3
        assert not (await running.client(Search).lag()).rebuilding
    async with start(market(search()), data=tmp_path, settings=settings, mode=mode) as running:
        await running.quiet()
        assert await shown(running.database("search")) == {"nut": (3, 3), "bolt": (5, 1)}


async def test_rebuilds_under_traffic_lose_and_double_nothing(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    settings = on(rabbitmq, tmp_path)
    async with start(market(search()), data=tmp_path, settings=settings) as running:
        client = running.client(Market)
        for round_ in range(4):
            rebuilding = asyncio.create_task(running.rebuild("search.prices"))
            await asyncio.gather(*(client.set_price(f"item {n}", round_) for n in range(40)))
            await rebuilding
        await running.quiet(90)
        found = await shown(running.database("search"))
        assert found == {f"item {n}": (3, 4) for n in range(40)}


async def test_a_handler_hears_what_is_published_once_it_has_started(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    settings = on(rabbitmq, tmp_path)
    async with start(market(), data=tmp_path, settings=settings) as running:
        await set_prices(running, ("nut", 1))
    async with start(market(HearingService), data=tmp_path, settings=settings) as running:
        await set_prices(running, ("nut", 2), ("bolt", 3))
        assert await shown(running.database("search")) == {"nut": (2, 1), "bolt": (3, 1)}


async def test_what_a_lost_queue_held_is_taken_from_the_publisher(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    settings = on(rabbitmq, tmp_path)
    async with start(market(HearingService), data=tmp_path, settings=settings) as running:
        await set_prices(running, ("nut", 1), ("nut", 2))
    connection = aiormq.Connection(rabbitmq.url)
    await connection.connect()
    channel = await connection.channel()
    await channel.queue_delete(f"{tmp_path.name}.search.prices.market.Market")
    await connection.close()
    async with start(market(), data=tmp_path, settings=settings) as running:
        await set_prices(running, ("nut", 3), ("nut", 4))
    async with start(market(HearingService), data=tmp_path, settings=settings) as running:
        await running.client(Market).set_price("nut", 5)
        await running.quiet(20)
        assert await shown(running.database("search")) == {"nut": (5, 5)}


async def test_a_lost_queue_that_held_the_first_events_and_the_last_costs_none(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    settings = on(rabbitmq, tmp_path)
    async with start(market(HearingService), data=tmp_path, settings=settings) as running:
        await running.quiet()
    async with start(market(), data=tmp_path, settings=settings) as running:
        await set_prices(running, ("nut", 3), ("nut", 4))
    connection = aiormq.Connection(rabbitmq.url)
    await connection.connect()
    channel = await connection.channel()
    deleted = await channel.queue_delete(f"{tmp_path.name}.search.prices.market.Market")
    assert deleted.message_count == 2
    await connection.close()
    async with start(market(HearingService), data=tmp_path, settings=settings) as running:
        await running.quiet(20)  # although no later event shows that some are missing
        assert await shown(running.database("search")) == {"nut": (4, 2)}


async def test_a_projection_of_another_process_is_made_anew(
    rabbitmq: RabbitmqServer, tmp_path: Path
) -> None:
    root = write_system(tmp_path, "anew", files=PROJECTION)
    settings = on(rabbitmq, tmp_path)
    async with start(root, mode="processes", data=tmp_path / "data", settings=settings) as running:
        notes, readers = _contracts(root)
        client = running.client(notes)
        for number in range(5):
            await client.write(f"note {number}")
        await running.quiet(20)
        await running.rebuild("readers.notes")
        await client.write("one more")
        await running.quiet(20)
        assert len(await running.client(readers).read()) == 6


def _configured(flags: dict[str, Any]) -> Configuration:
    return Configuration.load(Path("/no-system"), {}, flags)


def _contracts(root: Path) -> tuple[Any, Any]:
    import importlib

    notes = importlib.import_module(f"{root.name}.notes.contract")
    readers = importlib.import_module(f"{root.name}.readers.contract")
    return notes.Notes, readers.Readers
