"""How the services of one process reach those of all others: by the directory, in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from borough.clock import Clock
from borough.errors import Unavailable
from borough.fleet.control import DirectoryChanged
from borough.gateway.internal import ServiceTokens
from borough.ports import Discovery, Replica
from borough.runtime.discovery import Directory
from borough.transports.http.client import HttpClient
from borough.transports.http.remote import Origin, RemoteTransport

__all__ = ["Declared", "remote_transport", "take_up"]

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


def remote_transport(
    caller: str, tokens: ServiceTokens, directory: Discovery, clock: Clock
) -> RemoteTransport:
    """The transport on which `caller` reaches the replicas of a directory."""
    client = HttpClient(first_headers=tokens.first_headers(caller))
    return RemoteTransport(client, _in_turn(directory), clock)


def _in_turn(directory: Discovery) -> Callable[[str], Origin]:
    """A `resolve` that gives the replicas of a service one after the other."""
    turns: dict[str, itertools.count[int]] = {}

    def resolve(service: str) -> Origin:
        replicas: Sequence[Replica] = directory.replicas(service)
        if not replicas:
            raise Unavailable(f"No replica of {service} takes calls now")
        chosen = replicas[next(turns.setdefault(service, itertools.count())) % len(replicas)]
        return chosen.host, chosen.port

    return resolve
