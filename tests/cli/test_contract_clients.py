"""`borough contracts client` and `import`: what they write calls the running shop, from Python and from TypeScript."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from borough import Service, System, cli
from borough.contracts.descriptor import describe, fingerprint, to_json
from borough.contracts.reading import read_contract
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port, start
from shop.accounts.contract import Accounts
from shop.conftest import running_issuer
from shop.orders.contract import Orders
from tests.contracts.typescript import compiled
from tests.node.tools import require_node, run_node

SHOP = Path(__file__).parents[2] / "examples" / "shop"
CUSTOMER = Path(__file__).parents[1] / "node" / "customer.mts"

DESK_CONTRACT = """
from typing import Protocol
from borough import ANYONE, contract, post

@contract("desk", version="1.0")
class Desk(Protocol):
    @post("/accounts", allow=ANYONE)
    async def admit(self, email: str) -> str: ...
"""
DESK_SERVICE = """
from typing import final
from accounts_contract.accounts import Accounts, EmailTaken
from borough import Service
from .contract import Desk

@final
class DeskService(Service, Desk):
    accounts: Accounts

    async def admit(self, email: str) -> str:
        try:
            account = await self.accounts.sign_up(email, "Ada", "correct horse")
        except EmailTaken:
            return "taken"
        return account.name
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    """The real shop, with both listeners."""
    folder = tmp_path_factory.mktemp("shop")
    async with running_issuer(folder) as issuer:
        system = System.load(SHOP, flags=issuer.settings, environment={})
        process = Process(
            system,
            data_folder=folder / "data",
            edge_port=free_port(),
            internal_port=free_port(),
        )
        await process.start()
        try:
            yield process
        finally:
            await process.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another repository: its modules are imported from there, and forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    try:
        yield tmp_path
    finally:
        sys.path.remove(str(tmp_path))
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("accounts_contract", "market_contract", "desk_repository"):
                del sys.modules[name]


async def write(*words: str) -> None:
    """Run the command beside the shop."""
    assert await asyncio.to_thread(cli.main, ["contracts", "client", *words]) == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_a_service_in_another_repository_calls_the_shop_by_its_written_contract(
    shop: Process, elsewhere: Path
) -> None:
    await write(shop.internal_url, "accounts", "--lang", "python", "--out", str(elsewhere))
    written: Any = importlib.import_module("accounts_contract.accounts")
    theirs, ours = (describe(read_contract(cls)) for cls in (written.Accounts, Accounts))
    assert fingerprint(theirs) == fingerprint(ours)
    desk = elsewhere / "desk_repository" / "desk"
    desk.mkdir(parents=True)
    for name, text in {"contract": DESK_CONTRACT, "service": DESK_SERVICE}.items():
        (desk / f"{name}.py").write_text(text, encoding="utf-8")
    toml = f'[external.accounts]\nurl = "{shop.edge_url}/accounts"\n'
    (desk.parent / "borough.toml").write_text(toml, encoding="utf-8")
    async with start(desk.parent) as running:
        promised: Any = importlib.import_module("desk_repository.desk.contract")
        client = running.client(promised.Desk)
        assert await client.admit("ada.desk@shop.example") == "Ada"
        assert await client.admit("ada.desk@shop.example") == "taken"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_contract_imported_from_openapi_calls_the_service(
    shop: Process, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = elsewhere / "shop.json"
    document.write_bytes(msgspec.json.encode(shop.document()))
    words = ["contracts", "import", str(document), "--service", "market", "--out", str(elsewhere)]
    assert await asyncio.to_thread(cli.main, words) == 0
    assert "market.Market: 14 operations" in capsys.readouterr().err
    imported: Any = importlib.import_module("market_contract.market")
    (elsewhere / "borough.toml").write_text(
        f'[external.market]\nurl = "{shop.edge_url}"\nopenapi = "shop.json"\n', encoding="utf-8"
    )
    configuration = Configuration.load(elsewhere, {})
    market = imported.Market
    system = System([asking(market)], configuration=configuration, contracts=[market])
    async with start(system) as running:
        page = await running.service("asker").market.find(q="kettle", limit=1)
        assert [item.sku for item in page.items] == [
            (await running.service("asker").market.item(page.items[0].sku)).sku
        ]


def asking(cls: type[Any]) -> type[Service]:
    """A service that needs a contract."""
    return type("Asker", (Service,), {"__annotations__": {"market": cls}})


@pytest.mark.asyncio(loop_scope="module")
async def test_a_customer_in_typescript_goes_from_an_account_to_a_cancelled_order(
    shop: Process, tmp_path: Path
) -> None:
    node = require_node("typescript")
    for name in ("accounts", "orders", "search"):
        await write(str(SHOP), name, "--lang", "typescript", "--out", str(tmp_path))
    customer = tmp_path / CUSTOMER.name
    customer.write_text(CUSTOMER.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    await asyncio.to_thread(compiled, [customer], "node", tmp_path / "built")
    (tmp_path / "built" / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    script = tmp_path / "built" / "customer.mjs"
    nowhere = f"http://127.0.0.1:{free_port()}"
    said = await asyncio.to_thread(run_node, node, script, shop.edge_url, nowhere)
    assert msgspec.json.decode(said) == {
        "account": "Ada Lovelace",
        "taken": "accounts.EmailTaken",
        "basket": [2],
        "unknown": [404, True],
        "wrong": ["invalid-request", "#/quantity"],
        "same": True,
        "followed": "paid",
        "ended": "cancelled",
        "aborted": "enough",
        "lost": True,
        "late": 504,
        "dots": True,
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_the_edge_serves_what_public_contracts_publish(shop: Process) -> None:
    from urllib.request import urlopen

    served = await asyncio.to_thread(lambda: urlopen(f"{shop.edge_url}/asyncapi.json").read())
    document = msgspec.json.decode(served)
    assert document == shop.events_document()
    assert set(document["channels"]) == {"orders.Orders"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["none.json", "till"], "none.json cannot be read: no such file or directory; name a file"),
        (["empty", "till"], "has no services"),
        (["text.txt", "till"], "This is no contract descriptor"),
        (["list.json", "till"], "list.json is no JSON"),
        (["all.json", "till"], "there is no contract till in all.json; it has orders.Orders"),
        (["http://127.0.0.1:1", "till"], "http://127.0.0.1:1 does not answer"),
        (["http://127.0.0.1:1/x y", "till"], "is no URL of http or https"),
    ],
)
def test_a_source_without_the_contract_is_a_sentence(
    words: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "list.json").write_text("[1", encoding="utf-8")
    orders = to_json(describe(read_contract(Orders))).decode()
    (tmp_path / "all.json").write_text(f"[{orders}]", encoding="utf-8")
    assert cli.main(["contracts", "client", *words, "--lang", "python"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("borough: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = [str(SHOP), "orders", "--lang", "typescript", "--out", str(tmp_path / "file")]
    assert cli.main(["contracts", "client", *words]) == 2
    assert "cannot be written" in capsys.readouterr().err
