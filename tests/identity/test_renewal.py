"""Certificates that are replaced while calls are under way."""

import asyncio
import logging
from datetime import timedelta

import pytest

from borough.gateway.process import Process
from borough.services.context import Principal
from borough.testing.clock import ManualClock
from tests.identity.company import HOUR, Company, lasting
from tests.identity.lending import Readers
from tests.identity.town import SOON_S, Town

LOOK_S = 2.0


class LookClock(ManualClock):
    """Tells when the process has looked at its files and waits until it looks again."""

    def __init__(self) -> None:
        super().__init__(lasting(-HOUR, HOUR)[1])
        self._has_looked = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == LOOK_S:
            self._has_looked.set()
        await super().sleep(seconds)

    async def look(self) -> None:
        """Let the process look once, and do what follows from it."""
        async with asyncio.timeout(SOON_S):
            await self._has_looked.wait()
            self._has_looked.clear()
            self.advance(LOOK_S)
            await self._has_looked.wait()


async def shown_by(town: Town, process: Process, service: str) -> int:
    """The serial number of the certificate that a new connection meets."""
    caller = town.caller("bank")
    await caller.call(process, ("GET", f"/{service}/nothing"))
    (pool,) = caller.client._pools.values()
    (connection,) = pool.members
    return int(connection._transport.get_extra_info("peercert")["serialNumber"], 16)


async def test_renewed_certificates_are_used_and_no_call_fails(town: Town) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    client = process.host.client(Readers, principal=Principal("anna"))
    stopping = False
    answered = asyncio.Semaphore(0)

    async def lend() -> None:
        while not stopping:
            assert (await client.lend("emma")).user == "anna"
            answered.release()

    tasks = [asyncio.create_task(lend()) for _ in range(8)]
    serials = {await shown_by(town, process, "library")}
    for _ in range(5):
        for service in ("library", "readers", "bank"):
            town.issue(service)
        await clock.look()
        async with asyncio.timeout(SOON_S):
            for _ in range(20):
                await answered.acquire()
        serials.add(await shown_by(town, process, "library"))
    stopping = True
    await asyncio.gather(*tasks)  # raises what failed
    assert len(serials) == 6


async def test_after_a_renewal_no_call_goes_over_an_older_connection(town: Town) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    client = process.host.client(Readers, principal=Principal("anna"))
    await client.lend("emma")
    clients = process.proof._clients["readers"]  # type: ignore[attr-defined]
    before = {each for http in clients for pool in http._pools.values() for each in pool.members}
    assert before
    town.issue("readers")
    await clock.look()
    await client.lend("emma")
    pools = [pool for http in clients for pool in http._pools.values()]
    after = [each for pool in pools for each in pool.members if each.is_fit]
    assert after
    assert before.isdisjoint(after)


async def test_a_broken_file_changes_nothing_and_is_told_once(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    serial = await shown_by(town, process, "library")
    (town.folder / "library.pem").write_text("half a certifi")
    await clock.look()
    await clock.look()
    told = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("library goes on with the certificate it has: ")
    (town.folder / "bank.pem").unlink()
    await clock.look()
    assert "bank goes on with the certificate it has" in caplog.text
    for path in ("library", "bank"):
        town.issue(path)
    await clock.look()
    assert await shown_by(town, process, "library") != serial


async def test_a_certificate_of_another_ca_is_not_taken_up(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    serial = await shown_by(town, process, "library")
    town.issue("library", Company(town.folder, "other"))
    await clock.look()
    assert "unable to get local issuer certificate" in caplog.text
    assert await shown_by(town, process, "library") == serial


async def test_a_certificate_that_is_late_is_warned_of_once(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    await town.start(clock=clock)
    await clock.look()
    assert "expires at" not in caplog.text
    clock.advance(timedelta(minutes=55).total_seconds())
    await clock.look()
    await clock.look()
    told = [each.message for each in caplog.records if "expires at" in each.message]
    assert len(told) == 3
