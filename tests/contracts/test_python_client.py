"""A module written from a descriptor is the same contract: read back, it has the same fingerprint."""

from __future__ import annotations

import enum
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date as Day
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol
from uuid import UUID

import pytest

from borough import Event, Key, Struct, contract, field, get, post, upcast
from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.python_client import python_client
from borough.contracts.reading import read_contract
from borough.errors import ConfigurationError
from shop.accounts.contract import Accounts
from shop.notifications.contract import Notifications
from shop.orders.contract import Orders
from shop.payments.contract import Payments
from shop.search.contract import Search
from tests.contracts.bazaar import Bazaar


class Size(enum.Enum):
    """A type whose name is that of its module's import elsewhere."""

    SMALL = "S"


class Point(Struct):
    """Where."""

    x: int = 0
    date: Day | None = None


class Zone(Struct):
    """Comes last in the alphabet, and is needed by a default of what comes first."""

    point: Point = Point(x=4)
    within: Area | None = None


class Border(Struct):
    zone: Zone
    widths: Mapping[str, int] | None = field(default_factory=lambda: {"a": 1})
    scale: float = 1


class Area(Struct):
    """A doc with a \0, a \r and a \u2028 in it."""

    border: Border = Border(zone=Zone())


class Meta(Struct, tag_field="kind", tag="meta"):
    """Is called as Borough's own, with "quotes" and a \\ in it."""

    at: Point = Point(x=3)
    size: Size = Size.SMALL
    price: Decimal = Decimal("1.50")
    names: Mapping[str, int] = field(default_factory=lambda: {"a": 1})
    sizes: tuple[Size, ...] = (Size.SMALL,)
    since: Day = Day(2026, 1, 1)
    raw: bytes = b"\x00x"
    nothing: tuple[()] = ()


class Changed(Event, version=2):
    """It changed."""

    key: Key[UUID]

    @staticmethod
    @upcast(1)
    def with_key(data: dict[str, Any]) -> dict[str, Any]:
        return data


@contract("odd-one", version="1.4", publishes=[Changed], retains="36h")
class Odd(Protocol):
    """Uses names that a module needs for itself."""

    @post("/{int}", timeout_s=0.25)
    async def use(self, int: str, *, first: int = 0, last: Meta) -> None: ...

    @get("/", example={"return": None})
    async def nothing(self) -> Meta | None: ...

    @post("/areas", timeout_s=1234.56789)
    async def measure(self, area: Area) -> float: ...


CONTRACTS: list[type[Any]] = [Bazaar, Orders, Payments, Search, Accounts, Notifications, Odd]


def written(folder: Path, contract: Any) -> ModuleType:
    """The module of a contract, imported from where it was written."""
    descriptor = from_json(to_json(describe(read_contract(contract))))
    path = folder / f"written_{descriptor.service}.py"
    path.write_text(python_client(descriptor))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_written_contract_is_the_same(contract: type[Any], tmp_path: Path) -> None:
    module = written(tmp_path, contract)
    again = describe(read_contract(getattr(module, contract.__name__)))
    mine = describe(read_contract(contract))
    assert to_json(again) == to_json(mine)
    assert fingerprint(again) == fingerprint(mine)


def test_strict_type_checkers_take_every_written_contract(tmp_path: Path) -> None:
    for cls in CONTRACTS:
        written(tmp_path, cls)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "MYPYPATH": source}
    files = sorted(map(str, tmp_path.glob("*.py")))
    for words in (
        ["mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path / "cache"), *files],
        ["pyright", "--pythonpath", sys.executable, "-p", str(tmp_path)],
    ):
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_names_that_python_or_borough_use_are_left_to_the_contract(tmp_path: Path) -> None:
    module = written(tmp_path, Odd)
    assert module.Meta().at == module.Point(x=3)


def test_an_older_event_asks_for_its_upcast(tmp_path: Path) -> None:
    module = written(tmp_path, Odd)
    with pytest.raises(NotImplementedError, match="version 1 of Changed is in no descriptor"):
        module.Changed.from_version_1({})


@pytest.mark.parametrize(
    ("told", "lie"),
    [
        ('"Bottle"', '"Bottle(Struct): pass #"'),
        ('"name":"many"', '"name":"class"'),
        ('"method":"GET"', '"method":"get\\nimport os #"'),
        ('"method":"GET"', '"method":"OPTIONS"'),
        ('"name":"litres"', '"name":"litres: int = print(1)"'),
        ('"name":"many"', '"name":"many(self): pass\\n#"'),
        ('"name":"SMALL"', '"name":"SMALL = 1\\n    x"'),
        ('"service":"bazaar"', '"service":"bazaar\\"\\"\\"\\nimport os"'),
        ('"version":"2.3"', '"version":"2.3\\n"'),
        ('"path":"/bazaar/v2"', '"path":"/bazaar/${process.exit()}`"'),
        ('"wire_name":"bazaar.Bazaar.v2"', '"wire_name":"bazaar.Bazaar\\nimport os"'),
    ],
)
def test_a_descriptor_with_names_that_no_code_has_is_refused(told: str, lie: str) -> None:
    text = to_json(describe(read_contract(Bazaar))).decode()
    assert told in text
    with pytest.raises(ConfigurationError, match="The descriptor is broken"):
        from_json(text.replace(told, lie))
