"""Whose secrets a process must have: those of the services elsewhere that its own services call."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, final

import pytest

from borough import Service, System, contract, get
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.testing import start


@contract("bank", version="1.0")
class Bank(Protocol):
    """Runs elsewhere."""

    @get("/balance")
    async def balance(self) -> int: ...


@contract("till", version="1.0")
class Till(Protocol):
    """Asks the bank."""

    @get("/total")
    async def total(self) -> int: ...


@contract("clock", version="1.0")
class Hours(Protocol):
    """Asks nobody."""

    @get("/hour")
    async def hour(self) -> int: ...


@final
class TillService(Service, Till):
    bank: Bank

    async def total(self) -> int:
        return await self.bank.balance()


@final
class HoursService(Service, Hours, name="clock"):
    async def hour(self) -> int:
        return 7


@pytest.fixture
def system(tmp_path: Path) -> System:
    (tmp_path / "borough.toml").write_text(
        '[external.bank]\nurl = "https://bank.example"\n'
        '[external.bank.headers]\nauthorization = "env:BANK_TOKEN"\n'
    )
    configuration = Configuration.load(tmp_path, {})
    return System([TillService, HoursService], configuration=configuration, contracts=[Bank])


async def test_who_calls_nobody_elsewhere_starts_without_their_secrets(system: System) -> None:
    async with start(system, only=["clock"]) as running:
        assert await running.client(Hours).hour() == 7


async def test_who_calls_a_service_elsewhere_needs_its_secrets(system: System) -> None:
    with pytest.raises(ConfigurationError, match="the environment has no BANK_TOKEN"):
        async with start(system, only=["till"]):
            pass
