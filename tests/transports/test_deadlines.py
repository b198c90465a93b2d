"""A deadline ends a call, and nothing but the call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest
from msgspec.structs import force_setattr

from borough import contract, get
from borough.clock import SystemClock
from borough.contracts.reading import read_contracts
from borough.errors import DeadlineExceeded, ServiceFailure
from borough.reliability.admission import Gate
from borough.runtime.client import Caller
from borough.transports.callee import Callee

SHORT_S = 0.02
CLOCK = SystemClock()


@contract("oven", version="1.0")
class Oven(Protocol):
    """Bakes."""

    @get("/bread")
    async def bake(self) -> str:
        """Bread."""
        ...


async def baked(handler: Callable[[], Awaitable[str]], left_s: float = SHORT_S) -> Any:
    """What a call comes to whose handler is this one."""
    operation = read_contracts([Oven])[0].operations["bake"]
    callee = Callee(operation, handler, Gate(1), CLOCK.monotonic)
    call = Caller("baker", CLOCK).first_call()
    force_setattr(call, "deadline", CLOCK.monotonic() + left_s)
    return await callee.run((), call)


def cancellations() -> int:
    """How many cancellations of this task nobody has taken back."""
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def for_ever() -> str:
    await asyncio.Event().wait()
    return "never"


async def test_who_called_goes_on_after_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded, match="did not answer in time"):
        await baked(for_ever)
    assert cancellations() == 0
    await asyncio.sleep(0)


async def test_a_time_within_the_handler_that_is_shorter_is_the_handlers_own() -> None:
    async def handler() -> str:
        try:
            async with asyncio.timeout(SHORT_S):
                return await for_ever()
        except TimeoutError:
            return "half done"

    assert await baked(handler, 5.0) == "half done"


async def test_a_time_around_the_call_that_is_shorter_is_the_callers_own() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await baked(for_ever, 5.0)
    assert cancellations() == 0


async def test_who_is_cancelled_as_the_deadline_passes_stays_cancelled() -> None:
    async def handler() -> str:
        try:
            return await for_ever()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            raise

    task = asyncio.ensure_future(baked(handler))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_handler_that_answers_in_spite_of_the_deadline_has_answered() -> None:
    async def handler() -> str:
        try:
            return await for_ever()
        except asyncio.CancelledError:
            return "just done"

    assert await baked(handler) == "just done"
    assert cancellations() == 0


async def test_a_handler_that_fails_as_the_deadline_passes_has_failed() -> None:
    async def handler() -> str:
        try:
            return await for_ever()
        finally:
            raise ValueError("burnt")

    with pytest.raises(ServiceFailure):
        await baked(handler)
    assert cancellations() == 0


async def test_a_call_that_ends_in_time_leaves_no_alarm_behind() -> None:
    async def handler() -> str:
        await asyncio.sleep(0)
        return "bread"

    assert await baked(handler) == "bread"
    await asyncio.sleep(2 * SHORT_S)
    assert cancellations() == 0
