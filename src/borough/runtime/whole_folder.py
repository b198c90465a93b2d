"""A folder that appears and goes whole or not at all: written and removed beside its place, named in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["remove_whole", "written_whole"]


@contextmanager
def written_whole(folder: Path, proof: Path) -> Generator[Path]:
    """A place to write what becomes `folder` when the block ends well. Raises `OSError`.

    Where another process was first, which `proof` shows, its folder stays.
    """
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield beside
        beside.chmod(0o755)
        try:
            os.rename(beside, folder)
        except OSError:
            if not proof.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_whole(folder: Path) -> None:
    """Remove a folder; of one whose removal is cut off, nothing is left under its name. What cannot go stays."""
    beside = folder.with_name(f".{folder.name}-gone")
    shutil.rmtree(beside, ignore_errors=True)
    with suppress(OSError):
        os.rename(folder, beside)
        shutil.rmtree(beside, ignore_errors=True)
