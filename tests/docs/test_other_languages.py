"""docs/guides/other-languages.md is followed: its receiver hears all, once; a foreign service calls with its token."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borough.runtime.system import System
from borough.testing import Running, free_port, start
from tests.docs.pages import DOCS, write_files
from tests.polyglot.typescript import ROOT, ask, event, signed
from tests.requirements import require_tool

PAGE = DOCS / "guides" / "other-languages.md"
SECRET = "whsec_" + base64.b64encode(b"the bakery and the cafe know it").decode()
OVENS = {
    "__init__.py": "",
    "ovens/__init__.py": "",
    "ovens/contract.py": """
from typing import Protocol
from borough import ANYONE, Event, Key, contract, post

class Baked(Event):
    oven: Key[str]
    loaves: int

@contract("ovens", version="1.0", publishes=[Baked])
class Ovens(Protocol):
    @post("/loaves", allow=ANYONE)
    async def bake(self, oven: str, loaves: int) -> None: ...
""",
    "ovens/service.py": """
from typing import final
from borough import Database, Service
from bakery.ovens.contract import Baked, Ovens

@final
class OvenService(Service, Ovens):
    db: Database

    async def bake(self, oven: str, loaves: int) -> None:
        async with self.db.transaction() as tx:
            tx.publish(Baked(oven=oven, loaves=loaves))
""",
}


class Receiver:
    """One life of the page's receiver."""

    def __init__(self, folder: Path, port: int, secret: str = SECRET) -> None:
        require_tool("Node.js", shutil.which("node") is not None)
        self.file = folder / "heard.jsonl"
        self.port = port
        self._process = subprocess.Popen(
            ["node", str(folder / "cafe" / "receiver.mjs")],
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "CAFE_SECRET": secret,
                "CAFE_FILE": str(self.file),
                "CAFE_PORT": str(port),
            },
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    @property
    def heard(self) -> list[Any]:
        """What stands in its file."""
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The page's files, and a service that publishes."""
    assert len(write_files(PAGE, tmp_path)) == 2
    for name, text in OVENS.items():
        path = tmp_path / "bakery" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    places, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = places
    for name in set(sys.modules) - modules:
        if name.split(".")[0] == "bakery":
            del sys.modules[name]


async def bake(running: Running, count: int) -> None:
    """Bake in two ovens by turns."""
    ovens: Any = sys.modules["bakery.ovens.contract"]
    for loaves in range(count):
        await running.client(ovens.Ovens).bake(f"oven {loaves % 2}", loaves)


async def test_the_receiver_of_the_page_hears_all_once_though_it_is_killed(folder: Path) -> None:
    receiver = Receiver(folder, free_port())
    flags = {"push.cafe.url": f"http://127.0.0.1:{receiver.port}/events"}
    system = System.load(folder / "bakery", flags=flags, environment={"CAFE_SECRET": SECRET})
    try:
        async with start(system) as running:
            for _ in range(3):
                await bake(running, 20)
                receiver.kill()
                await asyncio.sleep(0.05)
                receiver = Receiver(folder, receiver.port)
            await running.quiet(15)
        heard = receiver.heard
    finally:
        receiver.kill()
    assert len(heard) == len({each["id"] for each in heard}) == 60
    for number in range(2):
        of_one = [each["loaves"] for each in heard if each["oven"] == f"oven {number}"]
        assert of_one == list(range(number, 20, 2)) * 3


def test_the_receiver_of_the_page_takes_nothing_from_others(folder: Path) -> None:
    receiver = Receiver(folder, free_port(), secret=f"{SECRET} whsec_{'QUFB' * 8}")
    body = event("e1", "ovens.Ovens.Baked", {"oven": "left", "loaves": 1})
    try:
        for fields, status in (
            (signed("e1", body, secret="whsec_" + "QkJC" * 8), 401),
            (signed("e1", body, secret=SECRET, at=1_000_000_000), 401),
            (signed("e2", body, secret=SECRET) | {"webhook-id": "e1"}, 401),
            ({"content-type": "application/cloudevents+json"}, 401),
            (signed("e1", body, secret=SECRET), 204),
            (signed("e1", body, secret="whsec_" + "QUFB" * 8), 204),
        ):
            assert ask(receiver.port, "POST", "/events", fields, body).status == status
        assert [each["id"] for each in receiver.heard] == ["e1"]
    finally:
        receiver.kill()


def test_a_service_that_is_not_here_calls_what_it_needs_with_its_token(tmp_path: Path) -> None:
    page = PAGE.read_text()
    (needs,) = re.findall(r"```toml\n\[services\.notifications\]\n(needs = .*)\n```", page)
    toml = (ROOT / "examples" / "shop-polyglot" / "borough.toml").read_text()
    facts = "[services.notifications]"
    assert toml.count(facts) == 1
    (tmp_path / "web").mkdir()
    (tmp_path / "borough.toml").write_text(
        toml.replace("../shop/web", "web")
        .replace(facts, f"{facts}\n{needs}")
        .replace("file:../../build/polyglot/push.secret", "env:SHOP_PUSH_SECRET")
    )
    data = tmp_path / "data"
    command = [sys.executable, "-m", "borough", "run", str(tmp_path), "--only", "accounts"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "examples"), "SHOP_PUSH_SECRET": SECRET}
    process = subprocess.Popen(
        [*command, "--internal-port", "0", "--data", str(data), "--json"],
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["internal"].rpartition(":")[2])
        token = (data / "tokens" / "notifications.token").read_text().strip()
        proof = {"borough-service": "notifications", "borough-proof": token}
        assert ask(port, "GET", "/accounts/nobody", proof).status == 404
        assert ask(port, "GET", "/accounts/nobody").status == 401
        late = proof | {"borough-timeout-ms": "0"}
        assert ask(port, "GET", "/accounts/nobody", late).status in (503, 504)
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def test_the_table_of_answers_is_that_of_the_code() -> None:
    from borough.reliability.webhook import Received, judge_status

    rows = re.findall(r"^\| ([0-9, ]+)(?: \|)", PAGE.read_text(), re.MULTILINE)
    refused, away = (tuple(map(int, row.split(", "))) for row in rows)
    assert {judge_status(status) for status in refused} == {Received.REFUSED}
    assert {judge_status(status) for status in away} == {Received.AWAY}
    others = set(range(100, 600)) - set(refused) - set(away) - set(range(200, 300))
    assert {judge_status(status) for status in others} == {Received.FAILED}
