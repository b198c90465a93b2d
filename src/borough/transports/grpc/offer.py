"""What one gRPC listener answers: the methods of contracts, health and reflection, by path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from grpc_health.v1 import health_pb2

from borough.contracts.proto import ProtoFile
from borough.transports.grpc.health import HEALTH, Health
from borough.transports.grpc.methods import GrpcContract, Method
from borough.transports.grpc.pool import MessagePool
from borough.transports.grpc.reflecting import REFLECTIONS, Reflection
from borough.transports.http.door import Route

__all__ = ["Offer", "Talk"]

Talk = Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
"""Answers the messages of a stream, one after the other."""


class Offer:
    """The methods by path, and what is answered by no service."""

    def __init__(self, files: Sequence[ProtoFile], routes: Mapping[str, Route]) -> None:
        """`routes` has the operations of the files, by wire name."""
        pool = MessagePool(files)
        pool.add_known(health_pb2)
        contracts = [GrpcContract(file, routes, pool) for file in files]
        self.methods: dict[str, Method] = {
            method.path: method for contract in contracts for method in contract.methods
        }
        names = [*(contract.name for contract in contracts), HEALTH]
        self.health = Health(names)
        reflection = Reflection(pool, names)
        self.talks: dict[str, Talk] = {
            f"/{HEALTH}/Check": self.health.check,
            f"/{HEALTH}/Watch": self.health.watch,
            **{f"/{name}/ServerReflectionInfo": reflection.talk for name in REFLECTIONS},
        }
