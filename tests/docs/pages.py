"""The documentation's pages, and the files that stand in them."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"^```\w+ (file|then)=(\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def write_files(page: Path, folder: Path, kind: str = "file") -> list[Path]:
    """Write every file of a page below the folder, as its reader would; `then` files replace them later."""
    written: list[Path] = []
    for which, name, content in _FILE.findall(page.read_text(encoding="utf-8")):
        if which != kind:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        written.append(path)
    return written


def write_cafe(folder: Path) -> None:
    """The system of the tutorial, as its sections 1 to 6 have it."""
    assert len(write_files(DOCS / "start.md", folder)) == 8
