"""A missing tool leaves a test out, is listed at the end, and fails where all is required."""

import pytest

from tests.requirements import require_tool

pytest_plugins = ["pytester"]

NEEDS_A_BROWSER = """
    from tests.requirements import require_tool

    def test_page() -> None:
        require_tool("a browser", found=False)
"""


def test_a_found_tool_changes_nothing() -> None:
    require_tool("python", found=True)


@pytest.fixture
def machine(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> pytest.Pytester:
    root = request.config.rootpath
    pytester.makeini(f"[pytest]\npythonpath = {root}\n")
    pytester.makeconftest((root / "tests" / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(NEEDS_A_BROWSER)
    return pytester


def test_a_missing_tool_is_listed_at_the_end(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOROUGH_REQUIRE", raising=False)
    result = machine.runpytest_subprocess("-p", "no:xdist")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*left out on this machine*", "a browser: 1 test"])


def test_a_missing_tool_fails_where_all_is_required(
    machine: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOROUGH_REQUIRE", "all")
    result = machine.runpytest_subprocess("-p", "no:xdist")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*missing tool: a browser*"])
