"""Where a running system listens, left in its data folder for commands that want to reach it.

Several processes may share a folder. Commands reach the one that came first; whoever comes while it
runs leaves its address beside, and takes its place once it has ended.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import ConfigurationError

__all__ = ["Address", "forget_address", "other_first", "read_address", "write_address"]

_FILE = "running.json"
_BESIDE = "running.*.json"
_ANSWERS_WITHIN_S = 1.0
_TARGETS = "prometheus.json"
"""Where Prometheus finds the processes by file discovery."""
_OTLP = "borough.otlp"
"""Where services in other languages find who takes what they have seen."""


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
    otlp: str = ""
    """Where OTLP is taken; empty where nothing is kept."""
    engines: dict[str, str] = {}
    """The options by which it keeps data and carries events, flags among them."""


def write_address(folder: Path, address: Address) -> Address:
    """Leave the address; replaced whole, so that a reader never sees half of it.

    Returns the one that commands reach: another where a system runs on this data already.
    Raises `ConfigurationError` where the folder does not take it.
    """
    first = _read(folder / _FILE)
    # Who has the door that is ours now has ended.
    is_ours = first is not None and (first.pid == address.pid or first.edge == address.edge != "")
    if first is not None and not is_ours and _answers(first):
        _leave(_beside(folder, address), msgspec.json.encode(address), address.pid)
        return first
    _take_place(folder, address)
    return address


def forget_dead_keeper(folder: Path) -> None:
    """Take away where a system took OTLP that ended without saying so: who starts beside this one would believe it."""
    first = _read(folder / _FILE)
    if first is None or not _answers(first):
        with contextlib.suppress(OSError):
            (folder / _OTLP).unlink(missing_ok=True)


def other_first(folder: Path, first: Address, own: Address) -> str | None:
    """What is said to whoever starts where another system runs; None for the one that commands reach."""
    if first.pid == own.pid:
        return None
    return (
        f"{first.edge or 'another system'} (pid {first.pid}) runs on the data in {folder}, too; until it ends "
        f"commands reach that one, and this one by `borough call --url {own.edge}`"
    )


def _take_place(folder: Path, address: Address) -> None:
    _leave(folder / _FILE, msgspec.json.encode(address), address.pid)
    _leave(folder / _TARGETS, msgspec.json.encode(_targets(address)), address.pid)
    if address.otlp:
        _leave(folder / _OTLP, f"{address.otlp}\n".encode(), address.pid)
    else:
        (folder / _OTLP).unlink(missing_ok=True)


def _beside(folder: Path, address: Address) -> Path:
    return folder / _BESIDE.replace("*", str(address.pid))


def _read(path: Path) -> Address | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, *UNREADABLE):
        return None


def _next(folder: Path) -> Address | None:
    """The one beside that came first, of those that still run."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob(_BESIDE):
        with contextlib.suppress(OSError):  # it has just ended
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found):
        address = _read(path)
        if address is not None and _lives(address.pid):
            return address
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    return None


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
    address = _read(folder / _FILE)
    if address is not None and _lives(address.pid):
        return address
    other = _next(folder)
    if other is not None:
        return other
    if address is None:
        raise ConfigurationError(
            f"no running system is known in {folder}; start it with `borough run`, or name its data folder with --data"
        )
    raise ConfigurationError(
        f"the system in {folder} (pid {address.pid}) has ended without saying so; "
        "start it again with `borough run`"
    )


def _answers(address: Address) -> bool:
    """Whether it still runs. After a crash its number may be another process's."""
    if not _lives(address.pid):
        return False
    place = urlsplit(address.edge)
    if not place.hostname or not place.port:
        return True
    try:
        with socket.create_connection((place.hostname, place.port), _ANSWERS_WITHIN_S):
            return True
    except TimeoutError:
        return True
    except OSError:
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is somebody else's
    return True


def forget_address(folder: Path, address: Address) -> None:
    """Take the address away. Where others run on this data, the next of them takes its place.

    One that a failed disk does not let go of is stale: its process has ended.
    """
    with contextlib.suppress(ConfigurationError, OSError):
        _beside(folder, address).unlink(missing_ok=True)
        if _read(folder / _FILE) != address:
            return
        other = _next(folder)
        if other is not None:
            _take_place(folder, other)
            _beside(folder, other).unlink(missing_ok=True)
            return
        for name in (_FILE, _TARGETS, _OTLP):
            (folder / name).unlink(missing_ok=True)
