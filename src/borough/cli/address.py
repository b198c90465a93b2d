"""Where a running system listens, left in its data folder for commands that want to reach it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from borough.errors import ConfigurationError

__all__ = ["Address", "forget_address", "read_address", "write_address"]

_FILE = "running.json"
_TARGETS = "prometheus.json"
"""Where Prometheus finds the processes by file discovery."""


class Address(msgspec.Struct, frozen=True):
    """A running system: the process to ask for, the public URL and the internal one.

    In a fleet each service has an internal URL of its own, and there is none for all.
    """

    pid: int
    edge: str
    internal: str = ""
    services: dict[str, str] = {}
    replicas: dict[str, str] = {}
    """The internal URL of each replica whose metrics can be asked for, by its name."""


def write_address(folder: Path, address: Address) -> None:
    """Leave the address; replaced whole, so that a reader never sees half of it.

    Raises `ConfigurationError` where the folder does not take it.
    """
    _leave(folder / _FILE, msgspec.json.encode(address), address.pid)
    _leave(folder / _TARGETS, msgspec.json.encode(_targets(address)), address.pid)


def _targets(address: Address) -> list[dict[str, Any]]:
    """Each process under a name that it keeps when it is begun anew, at another port."""
    replicas = address.replicas or ({"one": address.internal} if address.internal else {})
    found: list[dict[str, Any]] = []
    for name, url in replicas.items():
        scheme, _, place = url.partition("://")
        labels = {"instance": name, "__scheme__": scheme}
        found.append({"targets": [place], "labels": labels})
    return found


def _leave(path: Path, content: bytes, pid: int) -> None:
    draft = path.with_name(f".{path.name}.{pid}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(
            f"{path} cannot be written: {reason}; free some space or mend its rights"
        ) from error


def read_address(folder: Path) -> Address:
    """The address left there. Raises `ConfigurationError` where nothing runs on this data."""
    try:
        address = msgspec.json.decode((folder / _FILE).read_bytes(), type=Address)
    except (OSError, msgspec.DecodeError):
        raise ConfigurationError(
            f"no running system is known in {folder}; start it with `borough run`, or name its data folder with --data"
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
            (folder / _TARGETS).unlink(missing_ok=True)
