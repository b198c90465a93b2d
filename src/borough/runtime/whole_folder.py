"""A folder that appears whole or not at all: written beside its place, then given its name in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["written_whole"]


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
