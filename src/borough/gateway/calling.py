"""How the services of one process reach those of all others: proven, by whoever knows where they are."""

from __future__ import annotations

from borough.clock import Clock
from borough.gateway.internal import Proof
from borough.ports import Discovery
from borough.runtime.options import LimitOptions
from borough.transports.http.dependency import Dependencies, Greet

__all__ = ["dependencies_of"]


def dependencies_of(
    caller: str,
    proof: Proof,
    discovery: Discovery,
    clock: Clock,
    limits: LimitOptions,
    greet: Greet | None = None,
) -> Dependencies:
    """The ways of `caller` to every service. Raises `ConfigurationError` where it cannot prove itself."""
    return Dependencies(
        discovery,
        lambda: proof.client(caller, limits.for_client()),
        clock,
        limits.for_dependency(),
        caller=caller,
        greet=greet,
        place=proof.origin,
    )
