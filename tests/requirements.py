"""What a test needs from the machine, beyond the locked Python packages.

On a poorer machine such a test is left out, and the end of the run lists what was missing. CI sets
BOROUGH_REQUIRE=all: there a missing tool is a failure, so nothing is left out unseen.
"""

import os

import pytest

MARK = "missing tool: "


def require_tool(name: str, found: bool) -> None:
    """Leave the calling test (or module) out unless the tool was found."""
    if found:
        return
    if os.environ.get("BOROUGH_REQUIRE") == "all":
        pytest.fail(f"{MARK}{name}, and BOROUGH_REQUIRE=all", pytrace=False)
    pytest.skip(f"{MARK}{name}", allow_module_level=True)


def optional_tool(name: str, found: bool) -> None:
    """Leave the calling test out unless the tool was found, in CI too: it has no time to build this one."""
    if not found:
        pytest.skip(f"{MARK}{name}", allow_module_level=True)
