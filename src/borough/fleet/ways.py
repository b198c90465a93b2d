"""What a supervisor tells of the others, as a process uses it."""

from __future__ import annotations

from borough.fleet.control import DirectoryChanged
from borough.ports import Replica
from borough.runtime.discovery import Directory

__all__ = ["Declared", "take_up"]

Declared = dict[str, frozenset[str]]
"""Which contracts, by wire name, each service of the fleet declares to call."""


def take_up(told: DirectoryChanged, directory: Directory, declared: Declared) -> None:
    """Make what a supervisor has told the truth here."""
    declared.clear()
    declared.update({service: frozenset(names) for service, names in told.declared.items()})
    directory.update(
        {
            service: [Replica(peer.id, peer.host, peer.port) for peer in peers]
            for service, peers in told.replicas.items()
        }
    )
