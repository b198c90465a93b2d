"""docs/guides/clients.md is followed to the letter: what its commands write calls the cafe."""

from __future__ import annotations

import asyncio
import importlib
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from borough import cli
from borough.testing import Running, start
from tests.contracts.typescript import compiled
from tests.docs.pages import DOCS, write_cafe, write_files
from tests.node.tools import require_node, run_node

_PAGE = DOCS / "guides" / "clients.md"
_RUN = re.compile(r"^```sh run\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_OWN = ("bank_contract", "cafe", "delivery", "till_contract")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's files and the cafe, and all of its commands run."""
    write_cafe(tmp_path)
    assert len(write_files(_PAGE, tmp_path)) == 5
    monkeypatch.chdir(tmp_path)
    modules = set(sys.modules)
    for command in _RUN.findall(_PAGE.read_text(encoding="utf-8")):
        assert cli.main(shlex.split(command)[1:]) == 0
    for name in ("", "till-contract", "bank-contract"):
        monkeypatch.syspath_prepend(str(tmp_path / name))
    yield tmp_path
    for name in set(sys.modules) - modules:
        if name.split(".")[0] in _OWN:
            del sys.modules[name]


@pytest_asyncio.fixture
async def cafe(folder: Path) -> AsyncIterator[Running]:
    async with start(folder / "cafe", edge=True) as running:
        yield running


async def test_a_service_of_another_repository_asks_the_till(folder: Path, cafe: Running) -> None:
    till: Any = importlib.import_module("cafe.till.contract")
    await cafe.client(till.Till).order("soup")
    settings = {"external.till.url": f"{cafe.edge_url}/till"}
    async with start(folder / "delivery", settings=settings) as delivery:
        courier: Any = importlib.import_module("delivery.courier.contract")
        client = delivery.client(courier.Courier)
        assert await client.bring(1) == "soup"
        assert await client.bring(2) == "nothing, for there is no order 2"


async def test_typescript_orders_at_the_edge(folder: Path, cafe: Running) -> None:
    node = require_node("typescript")
    web = folder / "web"
    (web / "main.ts").write_text(
        'import { order } from "./order.js";\n'
        'console.log(await order(process.argv[2] ?? "", "soup"));\n',
        encoding="utf-8",
    )
    (web / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    await asyncio.to_thread(compiled, [web / "main.ts"], "node", web)
    said = await asyncio.to_thread(run_node, node, web / "main.js", cafe.edge_url)
    assert said == b"soup, and no order 2\n"


def test_the_command_says_what_the_page_has(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["contracts", "import", "bank.openapi.json", "--service", "bank"]) == 0
    said = capsys.readouterr()
    assert said.err in _PAGE.read_text(encoding="utf-8")
    assert said.out == (folder / "bank-contract" / "bank_contract" / "bank.py").read_text()


def test_the_document_of_events_has_the_topic_of_the_till(folder: Path) -> None:
    document = msgspec.json.decode((folder / "documents" / "cafe.asyncapi.json").read_bytes())
    assert set(document["channels"]) == {"till.Till"}
    assert set(document["operations"]) == {
        "till.sends.till.Till",
        "kitchen.hears.till.Till",
    }
