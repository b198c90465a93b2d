"""gRPC is an extra: what it needs is imported where `[grpc]` sets a port, and its absence told in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borough.clock import Clock
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.transports.http.entrance import Entrances

if TYPE_CHECKING:
    from borough.gateway.grpc_doors import GrpcDoors

__all__ = ["make_grpc_doors"]


def make_grpc_doors(
    configuration: Configuration, clock: Clock, entrances: Entrances
) -> GrpcDoors | None:
    """The gRPC listeners of a process; None where none is wanted.

    Raises `ConfigurationError` where gRPC is not installed.
    """
    options = configuration.options.grpc
    if options.port is None and options.internal_port is None:
        return None
    try:
        from borough.gateway.grpc_doors import GrpcDoors
    except ModuleNotFoundError:
        raise ConfigurationError(
            "[grpc] sets a port, and gRPC is not installed: pip install 'PATH_TO_YOUR_CLONE_OF_BOROUGH[grpc]'"
        ) from None
    return GrpcDoors(configuration, clock, entrances)
