"""A secret that several processes share by a file: made once, by whoever starts first.

The file appears whole or not at all (written aside, then linked into place), and only its owner may
read it. Whoever loses the race reads what the winner wrote.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Generator
from pathlib import Path

from borough.errors import ConfigurationError

__all__ = ["kept_secret", "read_secret", "written_aside"]


def kept_secret(path: Path, make: Callable[[], bytes], suffix: str) -> bytes:
    """What stands in `path`, made first where it is missing. `suffix` is unique to this try.

    Raises `ConfigurationError` where the folder cannot be written or others may read the file.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            with written_aside(path, make(), suffix) as aside, contextlib.suppress(FileExistsError):
                # Unlike a rename, it never replaces what another process wrote.
                os.link(aside, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"Cannot keep a secret in {path.parent}: {reason}; "
            "give another data folder, mend its rights or free some space"
        ) from error
    return read_secret(path)


@contextlib.contextmanager
def written_aside(path: Path, content: bytes, suffix: str) -> Generator[Path]:
    """A file beside `path` with this content, on disk and for its owner only, until the block ends.

    `suffix` is unique to this try. Raises `OSError`.
    """
    aside = path.with_name(f".{path.name}.{suffix}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def read_secret(path: Path) -> bytes:
    """The content. Raises `ConfigurationError` where others may read it, or nobody can."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(
                    f"{path} may be read by others; run `chmod 600 {path}`, "
                    "or remove it to have a new one made"
                )
            return file.read(64 * 1024)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"Cannot read {path}: {reason}; mend its rights") from error
