"""A handler that is renamed begins anew, and a start says so while its old position is still worth going back to."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from borough import Event, Key, Service, Transaction, contract, on
from borough.runtime.system import System
from borough.testing import start


class Rung(Event):
    door: Key[int]


@contract("door", version="1.0", publishes=[Rung])
class Door(Protocol):
    """Rings."""


class DoorService(Service, Door):
    pass


class House(Service, name="house"):
    @on(Rung)
    async def hear(self, event: Rung, tx: Transaction) -> None: ...

    @on(Rung)
    async def bark(self, event: Rung, tx: Transaction) -> None: ...


class Renamed(Service, name="house"):
    @on(Rung)
    async def hear(self, event: Rung, tx: Transaction) -> None: ...

    @on(Rung)
    async def howl(self, event: Rung, tx: Transaction) -> None: ...


class Named(Service, name="house"):
    @on(Rung)
    async def hear(self, event: Rung, tx: Transaction) -> None: ...

    @on(Rung, name="bark")
    async def howl(self, event: Rung, tx: Transaction) -> None: ...


async def started(house: type[Service], data: Path) -> None:
    async with start(System([DoorService, house]), data=data):
        pass


async def test_a_start_says_once_which_handler_was_probably_renamed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await started(House, tmp_path)
    assert caplog.messages == []
    await started(Renamed, tmp_path)
    assert [message for message in caplog.messages if "renamed" in message] == [
        "house.howl is new and hears door.Door from now on, while house.bark (0 events parked) heard it and is no "
        'handler any more; if it was renamed, write name="bark" in its mark: it goes on where it was'
    ]
    caplog.clear()
    await started(Renamed, tmp_path)
    assert caplog.messages == []


async def test_a_handler_that_keeps_its_name_is_no_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await started(House, tmp_path)
    await started(Named, tmp_path)
    assert caplog.messages == []
