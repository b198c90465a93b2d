"""Blocking work runs in a thread of the service; what does not block is told so, and has not run."""

from __future__ import annotations

from typing import Any, Protocol

import pytest

from borough import Service, contract, get, in_thread
from borough.errors import ServiceFailure
from borough.runtime.system import System
from borough.testing import start


@contract("mill", version="1.0")
class Mill(Protocol):
    """Grinds."""

    @get("/flour")
    async def flour(self) -> int: ...

    @get("/stones")
    async def stones(self) -> int: ...


class MillService(Service, Mill):
    async def grind(self) -> int:
        raise AssertionError("it runs")

    async def flour(self) -> int:
        grind: Any = self.grind  # no type checker lets it pass otherwise
        done: int = await in_thread(grind)
        return done

    async def stones(self) -> int:
        return await in_thread(sum, (1, 2))


async def test_an_async_function_in_a_thread_is_refused_in_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with start(System([MillService])) as running:
        assert await running.client(Mill).stones() == 3
        with pytest.raises(ServiceFailure):
            await running.client(Mill).flour()
    told = "in_thread was given MillService.grind, which is async and has not run; write `await` in its place"
    assert told in caplog.text


async def test_it_is_refused_without_a_service_too() -> None:
    with pytest.raises(TypeError, match="is async and has not run"):
        await MillService().flour()
    assert await MillService().stones() == 3
