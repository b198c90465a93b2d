"""Where a running system listens, left in its data folder for commands that want to reach it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from borough.errors import ConfigurationError

__all__ = ["Address", "forget_address", "read_address", "write_address"]

_FILE = "running.json"


class Address(msgspec.Struct, frozen=True):
    """A running process: its id, its public and its internal URL."""

    pid: int
    edge: str
    internal: str


def write_address(folder: Path, address: Address) -> None:
    """Leave the address; replaced whole, so that a reader never sees half of it."""
    draft = folder / f".{_FILE}.{address.pid}"
    draft.write_bytes(msgspec.json.encode(address))
    draft.replace(folder / _FILE)


def read_address(folder: Path) -> Address:
    """The address left there. Raises `ConfigurationError` where nothing runs on this data."""
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        raise ConfigurationError(
            f"no running system is known in {folder}; start it with `borough run`, or name --url"
        ) from None


def forget_address(folder: Path, address: Address) -> None:
    """Take the address away, unless another process has left its own since."""
    try:
        if read_address(folder) == address:
            (folder / _FILE).unlink(missing_ok=True)
    except ConfigurationError:
        pass
