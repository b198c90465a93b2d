"""Further versions of the village's ledger, each in a system folder of its own, and rolling them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fleet.village import LEDGER_CONTRACT, LEDGER_SERVICE, Village, write_village

__all__ = [
    "BEFORE",
    "QUICK",
    "rolled",
    "write_broken",
    "write_contracting",
    "write_grown",
    "write_incompatible",
]

BEFORE = "1.3"
_MOODS = "0002_moods.sql"
_GROWN = (
    LEDGER_CONTRACT.replace('version="1.3"', 'version="1.4"')
    .replace("    text: str\n\nclass Added", '    text: str\n    mood: str = ""\n\nclass Added')
    .replace("text: str) -> Entry", 'text: str, mood: str = "calm") -> Entry')
)
_GROWN_SERVICE = (
    LEDGER_SERVICE.replace("add(self, text)", 'add(self, text, mood="calm")')
    .replace("(text) values ($1) returning id, text", "(text, mood) values ($1, $2) returning *")
    .replace('", text\n', '", text, mood\n')
)
QUICK = ("--set", "fleet.watch_s=0.5")


def write_grown(folder: Path, *, opens: str = 'print("the ledger is open")') -> Path:
    """1.4: an optional parameter and field, a column more, which `add` answers."""
    service = _GROWN_SERVICE.replace('print("the ledger is open")', opens)
    assert "mood" in service
    root = write_village(folder, ledger__contract=_GROWN, ledger__service=service)
    migration = "alter table entries add column mood text not null default 'calm';\n"
    (root / "ledger/migrations/sqlite" / _MOODS).write_text(migration)
    return root


def write_broken(folder: Path) -> Path:
    """1.4, which cannot be imported."""
    return write_village(folder, ledger__service="import nowhere\n")


def write_incompatible(folder: Path) -> Path:
    """2.0 of the minor kind that nobody should ship: `add` requires what callers do not send."""
    contract = _GROWN.replace('mood: str = "calm"', "mood: str")
    service = _GROWN_SERVICE.replace('mood="calm"', "mood")
    root = write_village(folder, ledger__contract=contract, ledger__service=service)
    migration = "alter table entries add column mood text not null default 'calm';\n"
    (root / "ledger/migrations/sqlite" / _MOODS).write_text(migration)
    return root


def write_contracting(folder: Path) -> Path:
    """A version whose migration renames a column that the running version uses."""
    root = write_village(folder)
    migration = "alter table entries rename column text to said;\n"
    (root / "ledger/migrations/sqlite" / "0002_said.sql").write_text(migration)
    return root


def rolled(village: Village, source: Path, service: str = "ledger") -> tuple[int, dict[str, Any]]:
    """Exit status and document of a rollout."""
    done = village.command("rollout", service, "--from", str(source), "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)
