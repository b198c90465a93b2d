"""A module written from a descriptor is the same contract: read back, it has the same fingerprint."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.python_client import python_client
from borough.contracts.reading import read_contract
from shop.accounts.contract import Accounts
from shop.notifications.contract import Notifications
from shop.orders.contract import Orders
from shop.payments.contract import Payments
from shop.search.contract import Search
from tests.contracts.bazaar import Bazaar

CONTRACTS = [Bazaar, Orders, Payments, Search, Accounts, Notifications]


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
