"""A rollout where services share a process: those beside the one that is exchanged stay what they are."""

from __future__ import annotations

from pathlib import Path

from tests.fleet.versions import QUICK, rolled, write_grown
from tests.fleet.village import run_village, write_village

BELL = """
from typing import Protocol
from borough import Service, contract, post

@contract("bell", version="1.0")
class Bell(Protocol):
    @post("/rings")
    async def ring(self) -> None: ...

class BellService(Service, Bell):
    async def ring(self) -> None:
        pass
"""


def test_who_shares_a_process_does_not_come_to_code_that_was_changed_meanwhile(
    tmp_path: Path,
) -> None:
    root = write_village(tmp_path / "now")
    grown = write_grown(tmp_path / "next")
    with run_village(root, "together", *QUICK) as village:
        clerk = root / "clerk/service.py"
        before = clerk.read_text()
        clerk.write_text(f"{before}# half done\n")
        (root / "ledger/service.py").write_text("the folder that is exchanged\n")
        done = village.command("rollout", "ledger", "--from", str(grown))
        assert done.returncode == 2
        assert f"{clerk} was changed since the fleet started" in done.stderr
        clerk.write_text(before)  # with another time, as a checkout does
        status, said = rolled(village, grown)
        assert (status, said["state"]) == (0, "done"), said


def test_what_a_rollout_of_another_has_checked_is_no_code_that_was_changed_meanwhile(
    tmp_path: Path,
) -> None:
    mixed = '\n[topologies.mixed]\nledger = { services = ["ledger"] }\nrest = { services = ["clerk", "bell"] }\n'
    root = write_village(tmp_path / "now", bell__service=BELL)
    with (root / "borough.toml").open("a") as options:
        options.write(mixed)
    with run_village(root, "mixed", *QUICK) as village:
        write_grown(tmp_path / "now")  # into the system's own folder, as who works there does
        (root / "borough.toml").write_text((root / "borough.toml").read_text() + mixed)
        refused = village.command("rollout", "clerk", "--from", str(root))
        assert refused.returncode == 2
        assert "was changed since the fleet started" in refused.stderr
        status, said = rolled(village, root)
        assert (status, said["state"]) == (0, "done"), said
        status, said = rolled(village, root, "clerk")
        assert (status, said["state"]) == (0, "done"), said
