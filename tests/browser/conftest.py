"""One browser and one running shop for all tests of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from borough.console.one_process import mounts
from borough.gateway.process import Process
from borough.observing.keeper import Keeper
from borough.runtime.system import System
from borough.testing import free_port
from shop.conftest import running_issuer
from tests.browser.windows import launched

SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """The real shop with its edge, its issuer and the console, and what is seen of it is kept."""
    folder = tmp_path_factory.mktemp("shop")
    async with running_issuer(folder) as issuer:
        system = System.load(SHOP, flags=issuer.settings, environment={})
        process = Process(system, data_folder=folder / "data", edge_port=free_port(), mounts=mounts)
        (folder / "data").mkdir()
        keeper = Keeper(folder / "data", process.clock, 64 * 1024 * 1024)
        await keeper.open()
        process.observer.sinks["the keeper"] = keeper
        await process.start()
        try:
            yield process
        finally:
            await process.stop()
            await keeper.close()
