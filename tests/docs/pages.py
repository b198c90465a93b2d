"""The documentation's pages, and the files that stand in them."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write every file of a page below the folder, as its reader would."""
    written: list[Path] = []
    for name, content in _FILE.findall(page.read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def write_cafe(folder: Path) -> None:
    """The system of the tutorial, as its first section says."""
    assert len(write_files(DOCS / "start.md", folder)) >= 8
    for package in ("cafe", "cafe/till", "cafe/kitchen"):
        (folder / package / "__init__.py").touch()
