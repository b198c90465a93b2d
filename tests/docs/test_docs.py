"""Every Python block of the documentation runs.

The blocks of a page are one module, in their order, with everything else blank: line numbers are
those of the page. A block with more words after `python` belongs to another test (docs/start.md),
and one below `<!-- not run: why -->` is left out, with its reason. What a merge leaves behind, a
heading or a row that stands twice, is found too.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_LEFT_OUT = re.compile(r"<!-- not run: (.+) -->\Z")


def module_text(page: str) -> str:
    """The page as a module: its blocks where they stand, all other lines empty."""
    lines: list[str] = []
    running, above = False, ""
    for line in page.splitlines():
        if line.startswith("```"):
            running = line == "```python" and _LEFT_OUT.match(above) is None
            lines.append("")
        else:
            lines.append(line if running else "")
        above = line.strip() or above
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    text = module_text(page.read_text(encoding="utf-8"))
    if not text.strip():
        return
    name = f"page_{page.stem}"
    path = tmp_path / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]


def said_twice(page: str) -> list[str]:
    """What is left over from a merge: headings and rows there twice, headings without a blank line before them."""
    faults: list[str] = []
    seen: set[str] = set()
    in_block, above = False, ""
    for number, line in enumerate(page.splitlines(), 1):
        if line.startswith("```"):
            in_block = not in_block
        heading = not in_block and re.match("#+ ", line) is not None
        if heading and above.strip():
            faults.append(f"{number}: no blank line before {line}")
        row = not in_block and line.startswith("|") and line.strip("|- ") != ""
        if heading:
            seen = {
                kept for kept in seen if kept.startswith("#")
            }  # tables of two sections may agree
        if heading or row:
            if line in seen:
                faults.append(f"{number}: there twice: {line}")
            seen.add(line)
        above = line
    return faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_nothing_on_a_page_is_left_over_from_a_merge(page: Path) -> None:
    assert said_twice(page.read_text(encoding="utf-8")) == []


def test_a_planted_leftover_is_found() -> None:
    page = "# A\ntext\n## B\n\n| a | b |\n|---|---|\n| a | b |\n\n## B\n\n| a | b |\n```\n# no heading\n```\n"
    assert said_twice(page) == [
        "3: no blank line before ## B",
        "7: there twice: | a | b |",
        "9: there twice: ## B",
    ]


def test_blocks_keep_their_lines_and_marked_ones_are_left_out() -> None:
    page = "Text\n\n```python\na = 1\n```\n```python file=x.py\nb\n```\n"
    page += "<!-- not run: needs a server -->\n\n```python\nc\n```\n```sh\nd\n```\n"
    assert module_text(page).splitlines() == ["", "", "", "a = 1", *[""] * 12]
