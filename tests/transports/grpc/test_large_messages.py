"""Messages that take long to be read are read beside the loop, one at a time, and only so many are here."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import grpc
import pytest

from borough.gateway.process import Process
from tests.transports.grpc.plain import Plain
from tests.transports.grpc.serving import BOOTH, refused


@pytest.mark.parametrize(("size", "is_aside"), [(16_000, False), (17_000, True)])
async def test_a_large_message_is_read_beside_the_loop(
    process: Process, caller: Plain, size: int, is_aside: bool
) -> None:
    assert process.grpc is not None
    assert process.grpc.public is not None
    method: Any = process.grpc.public.offer.methods[f"/{BOOTH}/Blank"]
    read, threads = method.arguments, []

    def noted(data: bytes) -> Any:
        threads.append(threading.current_thread())
        return read(data)

    method.arguments = noted
    assert (await caller.call(f"{BOOTH}/Blank", note="n" * size)).result == "n" * size
    assert [each is not threading.main_thread() for each in threads] == [is_aside]


async def test_a_large_message_whose_caller_has_left_is_the_only_one_read_until_that_ends(
    process: Process,
) -> None:
    assert process.grpc is not None
    assert process.grpc.public is not None
    door, method = process.grpc.public.door, process.grpc.public.offer.methods[f"/{BOOTH}/Blank"]
    loop, may_end, begun = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
    at_once = [0, 0]

    def slow(_data: bytes) -> Any:
        at_once[0] += 1
        at_once[1] = max(at_once)
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(20)
        at_once[0] -= 1
        return ()

    cast(Any, method).arguments = slow
    reading = [asyncio.create_task(door._arguments(method, b"n" * 17_000)) for _ in range(3)]
    try:
        async with asyncio.timeout(20):
            await begun.wait()
            begun.clear()
            for each in reading[:2]:
                each.cancel()
            await asyncio.wait(reading, timeout=0.2, return_when=asyncio.ALL_COMPLETED)
    finally:
        may_end.set()
    async with asyncio.timeout(20):
        await asyncio.gather(*reading, return_exceptions=True)
    assert [each.cancelled() for each in reading] == [True, True, False]
    assert at_once == [0, 1]


async def test_more_large_messages_than_may_be_here_at_once_are_refused(
    process: Process, caller: Plain
) -> None:
    assert process.grpc is not None
    assert process.grpc.public is not None
    door = process.grpc.public.door
    door._large = 64
    error = await refused(caller.call(f"{BOOTH}/Blank", note="n" * 17_000))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    door._large = 63
    assert (await caller.call(f"{BOOTH}/Blank", note="n" * 17_000)).result == "n" * 17_000
    assert door._large == 63
