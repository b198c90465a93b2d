"""docs/guides/moving-over.md is followed to the letter: old, elsewhere, installed and new work together."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from borough.runtime.configuration import Configuration
from borough.runtime.releases import unpack
from borough.runtime.system import System
from borough.testing import start
from borough.transports.http.message import Request, Response
from tests.docs.pages import DOCS, write_files
from tests.runtime.wheels import write_wheel
from tests.transports.http.listening import Service as Listening

_PAGE = DOCS / "guides" / "moving-over.md"


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Path]:
    """The page's files, and its distribution built and installed."""
    assert len(write_files(_PAGE, tmp_path)) == 9
    project = tomllib.loads((tmp_path / "market-search" / "pyproject.toml").read_text())["project"]
    files = {
        f"market_search/{path.name}": path.read_text()
        for path in (tmp_path / "market-search" / "market_search").glob("*.py")
    }
    (group, entries), *_ = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    root = f"market_search-{project['version']}.dist-info"
    files[f"{root}/entry_points.txt"] = "\n".join(lines)
    wheel = write_wheel(
        tmp_path, "market_search", project["version"], files, needs=project["dependencies"]
    )
    places, modules = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(unpack(wheel, tmp_path / "site")))
    yield tmp_path / "market"
    sys.path[:] = places
    for name in set(sys.modules) - modules:
        if name.split(".")[0].startswith("market"):
            del sys.modules[name]


async def bank(request: Request) -> Response:
    """The service elsewhere."""
    is_known = request.headers.get("authorization") == "of-the-bank"
    body = b"12" if is_known and request.path == "/v1/reserves/gold" else b"0"
    return Response(200, ((b"content-type", b"application/json"),), body)


def _read(url: str) -> Any:
    with urlopen(url, timeout=20) as answer:
        return json.loads(answer.read())


async def test_the_system_of_the_page_answers_in_all_its_parts(market: Path) -> None:
    elsewhere = await Listening.open(bank)
    flags = {"external.bank.url": f"http://127.0.0.1:{elsewhere.origin[1]}/v1"}
    system = System.load(market, flags=flags, environment={"BANK_TOKEN": "of-the-bank"})
    assert system.version_of("search") == "1.4.0"
    try:
        async with start(system, edge=True) as running:
            url = running.edge_url
            assert await asyncio.to_thread(_read, f"{url}/legacy/items/tea") == {
                "name": "tea",
                "left": 3,
            }
            assert await asyncio.to_thread(_read, f"{url}/legacy/items/gold") == {
                "name": "gold",
                "left": 12,
            }
            assert await asyncio.to_thread(_read, f"{url}/search/found/red") == ["red tea"]
            document = await asyncio.to_thread(_read, f"{url}/openapi.json")
            assert sorted(document["paths"]) == ["/legacy/items/{name}", "/search/found/{word}"]
    finally:
        await elsewhere.server.close()


def test_the_contract_of_the_distribution_needs_no_code_of_its_service(market: Path) -> None:
    importlib.import_module("market_search.contract")
    assert "market_search.service" not in sys.modules


def test_the_configuration_of_the_page_can_be_read(market: Path) -> None:
    options = Configuration.load(market, {}).options
    assert options.services["legacy"].needs == ("stock.Stock",)
