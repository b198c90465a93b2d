"""Dead letters at the door of a fleet, which asks a replica of the service."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough.clock import SystemClock
from borough.console.many_processes import fleet_mounts
from borough.console.one_process import tells
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.process import Process
from borough.ports import Replica
from borough.runtime.discovery import Directory
from tests.console.ferry import Browser, Tickets
from tests.console.storm import calm, stormy


class Fleet:
    """Two replicas of the stormy ferry, over the same databases, and their door."""

    def __init__(self, folder: Path) -> None:
        system = stormy(folder)
        self.replicas = [
            Process(system, clock=SystemClock(), internal_port=0, tells=tells) for _ in range(2)
        ]
        self.directory = Directory()
        services = ("crossings", "tickets")
        self.edge = EdgeProcess(
            system.configuration, services, self.directory, port=0, mounts=fleet_mounts
        )
        self.services = services

    async def start(self) -> None:
        await self.edge.start()
        for replica in self.replicas:
            await replica.start()
        found = [
            Replica(f"all.{number}", *each.internal_origin)
            for number, each in enumerate(self.replicas, 1)
        ]
        self.directory.update(dict.fromkeys(self.services, found))

    async def stop(self) -> None:
        await self.edge.stop()
        for replica in self.replicas:
            await replica.stop()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def reached(browser: Browser, dead: int, parked: int = 0) -> Any:
    """What the door says of events, once so many are dead and parked."""
    async with asyncio.timeout(30):
        while True:
            found: Any = await browser.document("/console/api/events")
            (handler,) = found["topics"][0]["handlers"]
            if (handler["dead"], handler["parked"]) == (dead, parked) and handler["pace"]:
                return found  # what the door's looks say of it is there, too
            await asyncio.sleep(0.1)


async def test_letters_are_looked_at_dropped_and_replayed_through_the_door(fleet: Fleet) -> None:
    assert fleet.edge.edge_url is not None
    browser = Browser(fleet.edge.edge_url)
    for ticket in ("t1", "t2"):
        await fleet.replicas[0].host.client(Tickets).sell(f"to {ticket}", ticket)
    found = await reached(browser, dead=2)
    (group,) = found["dead"]
    assert (group["handler"], group["events"]) == ("crossings.count", 2)
    looked: Any = await browser.document("/console/api/events/dead?handler=crossings.count")
    assert [letter["attempts"] for letter in looked["letters"]] == [1, 1]

    token = str((await browser.document("/console/api/session"))["token"])

    async def change(verb: str, value: Any) -> Any:
        body = msgspec.json.encode(value)
        path = f"/console/api/events/{verb}"
        _, _, answer = await browser.get(path, method="POST", body=body, x_borough_token=token)
        return msgspec.json.decode(answer)

    first = {"handler": "crossings.count", "event_id": looked["letters"][0]["event_id"]}
    assert (await change("drop", first))["events"] == 1
    await reached(browser, dead=1)
    for replica in fleet.replicas:
        calm(replica)
    rest = {"handler": "crossings.count", "fingerprint": group["fingerprint"]}
    assert (await change("replay", rest))["events"] == 1
    assert (await reached(browser, dead=0))["dead"] == []
    nobody = {"handler": "nobody.there", "fingerprint": "x"}
    assert (await change("drop", nobody))["status"] == 404
