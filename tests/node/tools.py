"""Node and the packages that tests run in it, as `make .tools/node` installs them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.requirements import require_tool

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".tools" / "node"


def require_node(*packages: str) -> str:
    """The Node program; leaves the calling test out without Node 20, or without these packages."""
    node = shutil.which("node")
    require_tool("Node 20 or newer", node is not None and _major(node) >= 20)
    for package in packages:
        found = (MODULES / "node_modules" / package).is_dir()
        require_tool(f"{package} (make .tools/node)", found)
    assert node is not None
    return node


def _major(node: str) -> int:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return int(done.stdout.removeprefix("v").partition(".")[0] or 0)


def run_node(
    node: str, *arguments: str | Path, given: bytes = b"", timeout_s: float = 120
) -> bytes:
    """What a script prints. It ends well, or the test fails with what it said."""
    command = [node, *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=timeout_s)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout
