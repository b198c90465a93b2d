"""The demo with its notifications in another language keeps everything, too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
from borough.testing import free_port
from shop.demo.evidence import read_evidence
from shop.demo.ledger import compare
from shop.demo.places import SERVICES, Places
from shop.demo.polyglot import Polyglot
from tests.polyglot.typescript import require_typescript


def _demo(*more: str) -> subprocess.CompletedProcess[str]:
    port = str(free_port())
    command = [sys.executable, "-m", "borough", "demo", "--polyglot", "--json", "--port", port]
    return subprocess.run([*command, *more], capture_output=True, text=True)


def test_nothing_is_lost_with_notifications_in_node(tmp_path: Path) -> None:
    require_typescript()
    done = _demo("--for", "3s", "--topology", "fleet", "--data", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["lost"], summary["doubled"], summary["errors"]) == (0, 0, 0)
    assert summary["orders"] > 0
    assert summary["pids"].keys() == {*SERVICES, "edge"}
    found = read_evidence(Places(tmp_path / "demo"))
    assert {handled.handler for handled in found.handled} >= {
        "notifications.send_receipt",
        "orders.push-notifications",
    }
    assert compare(tmp_path / "demo") == []
    next((tmp_path / "demo" / "mailbox" / "new").iterdir()).unlink()
    assert [breach.rule.name for breach in compare(tmp_path / "demo")] == ["mail-delivered"]


def test_where_it_is_not_built_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make polyglot"):
        Polyglot(tmp_path / "examples" / "shop", Places(tmp_path))
