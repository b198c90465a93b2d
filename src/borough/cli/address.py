"""Where a running system listens, left in its data folder for commands that want to reach it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from borough.errors import ConfigurationError

__all__ = ["Address", "forget_address", "read_address", "write_address"]

_FILE = "running.json"


class Address(msgspec.Struct, frozen=True):
    """A running system: the process to ask for, the public URL and the internal one.

    In a fleet each service has an internal URL of its own, and there is none for all.
    """

    pid: int
    edge: str
    internal: str = ""
    services: dict[str, str] = {}


def write_address(folder: Path, address: Address) -> None:
    """Leave the address; replaced whole, so that a reader never sees half of it.

    Raises `ConfigurationError` where the folder does not take it.
    """
    draft = folder / f".{_FILE}.{address.pid}"
    try:
        draft.write_bytes(msgspec.json.encode(address))
        draft.replace(folder / _FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"{folder / _FILE} cannot be written: {reason}; free some space or mend its rights"
        ) from error


def read_address(folder: Path) -> Address:
    """The address left there. Raises `ConfigurationError` where nothing runs on this data."""
    try:
        address = msgspec.json.decode((folder / _FILE).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        raise ConfigurationError(
            f"no running system is known in {folder}; start it with `borough run`, or name --url"
        ) from None
    if not _lives(address.pid):
        raise ConfigurationError(
            f"the system in {folder} (pid {address.pid}) has ended without saying so; "
            "start it again with `borough run`"
        )
    return address


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is somebody else's
    return True


def forget_address(folder: Path, address: Address) -> None:
    """Take the address away, unless another process has left its own since.

    One that a failed disk does not let go of is stale: its process has ended.
    """
    with contextlib.suppress(ConfigurationError, OSError):
        if read_address(folder) == address:
            (folder / _FILE).unlink(missing_ok=True)
