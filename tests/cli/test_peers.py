"""What `borough run` says of applications and of services elsewhere, and of those that cannot start."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from borough.runtime.mocks import mocked
from borough.runtime.system import System
from borough.runtime.wiring import make_plan
from borough.testing import free_port
from tests.cli.systems import write_system
from tests.cli.terminal import PATIENCE_S, running, spawned

APPLICATION = """
import contextlib
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def hello(request):
    return JSONResponse("hello")

@contextlib.asynccontextmanager
async def broken(app):
    raise RuntimeError("no disk")
    yield

app = Starlette(routes=[Route("/hello", hello)])
broken = Starlette(lifespan=broken)
"""
BANK = """
from typing import Protocol
from borough import ANYONE, contract, get

@contract("bank", version="1.0")
class Bank(Protocol):
    @get("/reserves", allow=ANYONE)
    async def reserves(self) -> int: ...
"""
TOML = """
[services.legacy]
asgi = "{package}.legacy:APP"
allow = "anyone"
needs = ["bank.Bank"]

[external.bank]
url = "https://bank.example/v1"
"""


def market(folder: Path, package: str, app: str = "app", more: str = "") -> Path:
    """A system with an application and a service elsewhere."""
    files = {"legacy.py": APPLICATION, "bank/contract.py": BANK}
    return write_system(folder, package, toml=TOML.replace("APP", app) + more, files=files)


def test_an_application_is_served_and_the_table_names_it(tmp_path: Path) -> None:
    root = market(tmp_path, "market_a")
    with running(root) as ran:
        assert ran.request("/legacy/hello") == (200, "hello")
        assert ran.stop()[0] == 0
    ports = ["--port", str(free_port()), "--internal-port", str(free_port())]
    with spawned("run", str(root), *ports) as process:
        assert process.stdout is not None
        table = "".join(iter(process.stdout.readline, "Ctrl-C stops.\n"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    words = [line.split() for line in table.splitlines()]
    assert ["bank", "elsewhere,", "at", "https://bank.example/v1"] in words
    assert ["legacy", f"http://127.0.0.1:{ports[1]}/legacy"] in words


@pytest.mark.parametrize(
    ("app", "more", "status", "sentence"),
    [
        ("broken", "", 1, "its startup failed: RuntimeError: no disk"),
        ("none", "", 2, "market_b.legacy has no none; mend the name"),
        ("app", 'descriptor = "bank.json"\n', 2, "bank.json, which cannot be read"),
        (
            "app",
            '[external.bank.headers]\na = "env:NO_SUCH"\n',
            2,
            "the environment has no NO_SUCH",
        ),
    ],
)
def test_what_cannot_start_is_one_sentence_and_a_status(
    tmp_path: Path, app: str, more: str, status: int, sentence: str
) -> None:
    root = market(tmp_path, "market_b", app, more)
    with spawned("run", str(root), "--port", str(free_port())) as process:
        _, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, error.count("\n"), sentence in error) == (status, 1, True), error


NEEDY = """
from borough import Service
from {package}.bank.contract import Bank

class Teller(Service):
    bank: Bank

    async def open(self):
        print("open")
"""
COMMAND = """
[services.clerk]
command = ["nobody-starts-it"]
needs = ["bank.Bank"]
"""


@pytest.mark.parametrize("topology", ["one", "fleet"])
def test_dependencies_that_nobody_provides_are_told_together_before_anything_starts(
    tmp_path: Path, topology: str
) -> None:
    package = f"teller_{topology}"
    toml = TOML.partition("[external")[0].replace("APP", "app") + COMMAND
    files = {"legacy.py": APPLICATION, "bank/contract.py": BANK, "teller/service.py": NEEDY}
    root = write_system(tmp_path, package, toml=toml, files=files)
    with spawned("run", str(root), "--port", str(free_port()), "--topology", topology) as process:
        told, error = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, told) == (2, "")
    assert "Teller.bank needs Bank, which no service here provides" in error
    assert f"{root}/teller/service.py:6" in error
    assert "services.legacy.needs names Bank, which no service here provides" in error
    assert "services.clerk.needs names Bank, which no service here provides" in error
    assert "[external.bank] for one elsewhere, or run it with --mock bank" in error


def test_a_dependency_is_provided_by_a_fake_a_mock_a_command_or_somebody_elsewhere(
    tmp_path: Path,
) -> None:
    files = {"bank/contract.py": BANK, "teller/service.py": NEEDY}
    root = write_system(tmp_path, "teller_provided", files=files)
    narrowed, stand_ins = mocked(System.load(root), ["bank"])
    make_plan(narrowed, stand_ins=stand_ins, is_whole=True)
    for table in (
        '[external.bank]\nurl = "http://bank.example"',
        '[services.bank]\ncommand = ["x"]',
    ):
        (root / "borough.toml").write_text(table)
        make_plan(System.load(root), is_whole=True)
    (root / "borough.toml").write_text("")
    make_plan(
        System.load(root, modules={"teller": "teller_provided.teller.service"}), is_whole=True
    )
