"""Keys that do not come at once: who waits for them, and how long."""

import asyncio
from typing import Any

import pytest

from borough.errors import Unavailable
from borough.gateway.keys import KeySet, KeyTimes
from borough.testing.clock import ManualClock
from tests.gateway.forging import rs256
from tests.gateway.issuing import RSA_KEY, Office, Source, rsa_jwk


class SlowSource(Source):
    """Answers when it is let go."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        super().__init__(*keys)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def read(self) -> bytes:
        self.asked.set()
        await self.go.wait()
        return await super().read()


async def test_a_request_that_is_cancelled_does_not_take_the_keys_from_the_others() -> None:
    source = SlowSource(rsa_jwk())
    office = Office(source)
    made = [office.token("RS256", "r", rs256(RSA_KEY), f"user{n}") for n in range(3)]
    first, second = (asyncio.ensure_future(office.check.principal(each)) for each in made[:2])
    await source.asked.wait()
    first.cancel()
    await asyncio.wait([first])
    source.go.set()
    assert (await second).subject == "user1"
    assert (await office.check.principal(made[2])).subject == "user2"
    assert (first.cancelled(), source.readings) == (True, 1)


async def test_a_reading_that_nobody_waits_for_any_more_still_brings_the_keys() -> None:
    source = SlowSource(rsa_jwk())
    office = Office(source)
    made = office.token("RS256", "r", rs256(RSA_KEY))
    only = asyncio.ensure_future(office.check.principal(made))
    await source.asked.wait()
    only.cancel()
    await asyncio.wait([only])
    source.go.set()
    assert (await office.check.principal(made)).subject == "anna"
    assert source.readings == 1


async def test_an_issuer_that_does_not_answer_holds_up_no_token_of_a_key_that_is_known() -> None:
    source, clock = SlowSource(rsa_jwk()), ManualClock()
    keys = KeySet(source.read, clock, KeyTimes(patience_s=0.01))
    source.go.set()
    known = await keys.find("r")
    source.go.clear()
    clock.advance(601)
    async with asyncio.timeout(20):
        assert await keys.find("r") is known
        source.go.set()
        assert await keys.find("another") is None
    assert source.readings == 2


async def test_an_issuer_that_hangs_holds_a_token_of_an_unknown_key_for_a_moment_only() -> None:
    source = SlowSource(rsa_jwk())
    keys = KeySet(source.read, ManualClock(), KeyTimes(unknown_s=0.01))
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable) as caught:
            await keys.find("made up")
        assert caught.value.retry_after_s == 5
        await keys.close()
    assert source.asked.is_set()


async def test_nobody_begins_to_wait_for_a_reading_that_is_no_longer_young() -> None:
    source, clock = SlowSource(rsa_jwk()), ManualClock()
    keys = KeySet(source.read, clock, KeyTimes(unknown_s=60))
    first = asyncio.ensure_future(keys.find("r"))
    async with asyncio.timeout(20):
        await source.asked.wait()
        clock.advance(60)
        for number in range(3):
            with pytest.raises(Unavailable):
                await keys.find(f"made up {number}")
        assert not first.done()
        source.go.set()
        key = await first
        assert key is not None
        assert await keys.find("r") is key
    assert source.readings == 1


async def test_a_check_that_is_closed_reads_no_keys_any_more() -> None:
    source = SlowSource(rsa_jwk())
    office = Office(source)
    asking = asyncio.ensure_future(
        office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    )
    await source.asked.wait()
    await office.check.close()
    await office.check.close()
    await asyncio.wait([asking])
    assert (asking.cancelled(), source.readings) == (True, 0)
