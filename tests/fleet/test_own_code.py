"""Which files count as the code that a fleet runs: of a system's folder, and Borough itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from borough.fleet.own_code import OwnCode


@pytest.mark.parametrize(
    ("changed", "is_told"),
    [
        ("ledger/service.py", False),
        ("clerk/service.py", True),
        ("clerk/migrations/0001_first.sql", True),
        ("clerk/tests/test_clerk.py", False),
        ("clerk/tests/steps.py", False),
        ("tests/test_town.py", False),
        ("test_town.py", False),
        ("conftest.py", False),
        ("borough.toml", False),
        (".venv/lib/anything.py", False),
        ("venv/lib/anything.py", False),
    ],
)
async def test_code_beside_a_folder_is_what_processes_run_and_no_test(
    tmp_path: Path, changed: str, is_told: bool
) -> None:
    code = OwnCode(tmp_path, tmp_path / ".borough")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    await code.look()
    path = tmp_path / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    assert await code.changed_beside(tmp_path / "ledger") == ([path] if is_told else [])


async def test_a_borough_that_is_exchanged_below_a_fleet_is_noticed(tmp_path: Path) -> None:
    package = tmp_path / "site-packages/borough"
    (package / "fleet").mkdir(parents=True)
    (package / "fleet/replica.py").write_text("VERSION = 1")
    code = OwnCode(tmp_path / "village", tmp_path / ".borough", package)
    await code.look()
    (package / "fleet/__pycache__").mkdir()
    (package / "fleet/__pycache__/replica.pyc").write_text("")
    assert not await code.is_another_borough()
    (package / "fleet/replica.py").write_text("VERSION = 20")
    assert await code.is_another_borough()
