"""Where the field numbers of contracts are kept: in `contract.proto.lock`, beside the module that declares them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from borough.contracts.descriptor import describe
from borough.contracts.operation import Contract
from borough.contracts.proto import ProtoFile, proto_file
from borough.contracts.proto_lock import ProtoLock, numbered, read_lock, write_lock
from borough.errors import ConfigurationError

__all__ = ["ProtoLocks", "proto_files"]


def proto_files(contracts: Iterable[Contract]) -> list[ProtoFile]:
    """The protobuf of contracts, with the numbers of their locks. Raises `ConfigurationError`.

    What no lock has yet gets the numbers that an export would give.
    """
    locks = ProtoLocks()
    return [locks.file_of(contract) for contract in contracts]


class ProtoLocks:
    """The lock files of the contracts that are asked for. `save` writes what is new."""

    def __init__(self) -> None:
        self._locks: dict[Path, ProtoLock] = {}
        self._texts: dict[Path, bytes] = {}

    def file_of(self, contract: Contract) -> ProtoFile:
        """The protobuf of a contract. Raises `ConfigurationError` where its lock disagrees."""
        draft = proto_file(describe(contract))
        source, _ = contract.place
        if not source:  # made by code: there is nowhere to keep numbers
            return numbered(draft, ProtoLock(), "")[0]
        path = Path(source).with_suffix(".proto.lock")
        if path not in self._locks:
            self._locks[path] = self._read(path)
        file, self._locks[path] = numbered(draft, self._locks[path], str(path))
        return file

    def _read(self, path: Path) -> ProtoLock:
        try:
            self._texts[path] = path.read_bytes()
        except FileNotFoundError:
            return ProtoLock()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigurationError(f"{path} cannot be read: {reason}; mend that first") from None
        return read_lock(self._texts[path], str(path))

    def save(self) -> list[Path]:
        """Write the files that have changed; returns them. Raises `ConfigurationError`."""
        changed: list[Path] = []
        for path, lock in self._locks.items():
            text = write_lock(lock)
            if text != self._texts.get(path):
                try:
                    path.write_bytes(text)
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    raise ConfigurationError(
                        f"{path} cannot be written: {reason}; the numbers of fields are kept there, "
                        "so export where the contract is developed"
                    ) from None
                self._texts[path] = text
                changed.append(path)
        return changed
