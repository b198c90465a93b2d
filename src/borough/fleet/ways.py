"""How the services of one process reach those of all others: by what the supervisor tells."""

from __future__ import annotations

from borough.clock import Clock
from borough.fleet.control import DirectoryChanged
from borough.gateway.internal import ServiceTokens
from borough.ports import Discovery, Replica
from borough.runtime.discovery import Directory
from borough.runtime.options import LimitOptions
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies

__all__ = ["Declared", "dependencies_of", "take_up"]

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


def dependencies_of(
    caller: str, tokens: ServiceTokens, discovery: Discovery, clock: Clock, limits: LimitOptions
) -> Dependencies:
    """The ways of `caller` to every service; it proves itself with its token."""
    first_headers = tokens.first_headers(caller)
    return Dependencies(
        discovery,
        lambda: HttpClient(limits.for_client(), first_headers=first_headers),
        clock,
        limits.for_dependency(),
        caller=caller,
    )
