"""A handler that raises what is no `Exception` has failed like any other: who asked is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, final

import pytest

from borough import ANYONE, Service, System, contract, get
from borough.gateway.process import Process
from tests.gateway.library import Seen, request


class Stop(BaseException):
    """Some library's own way to end what runs."""


@contract("odd", version="1.0")
class Odd(Protocol):
    """Ends in strange ways."""

    @get("/alone", allow=ANYONE)
    async def alone(self) -> None: ...

    @get("/beside", allow=ANYONE)
    async def beside(self) -> None: ...

    @get("/stream", allow=ANYONE)
    def stream(self) -> AsyncIterator[int]: ...


@final
class OddService(Service, Odd):
    async def alone(self) -> None:
        raise Stop

    async def beside(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.alone())

    async def stream(self) -> AsyncIterator[int]:
        await self.alone()
        yield 1


@pytest.mark.parametrize("path", ["/odd/alone", "/odd/beside", "/odd/stream"])
async def test_who_asked_is_answered_whatever_was_raised(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(System([OddService]), data_folder=tmp_path)
    await process.start()
    seen = await Seen.of(await process.make_edge().answer(request("GET", path)))
    await process.stop()
    assert seen.status == 500
    assert b"The service failed" in seen.body
    assert f"GET {path} failed" in caplog.text
