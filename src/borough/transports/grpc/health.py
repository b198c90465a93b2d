"""`grpc.health.v1`: whether the listener and each of its services take calls. Answered by no service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from grpc_health.v1 import health_pb2

from borough.errors import NotFound

__all__ = ["HEALTH", "Health"]

HEALTH = "grpc.health.v1.Health"
_Answer = health_pb2.HealthCheckResponse


class Health:
    """Serves until it is told to end."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(["", *services])
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Nothing is served any more; who watches is told."""
        self._ended.set()

    async def check(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The state now. Raises `NotFound` for a service that is not here."""
        async for data in messages:
            name = health_pb2.HealthCheckRequest.FromString(data).service
            if name not in self._services:
                raise NotFound(f"There is no service {name!r} here")
            yield self._state(name)
            return

    async def watch(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The state now, and the next one."""
        async for data in messages:
            name = health_pb2.HealthCheckRequest.FromString(data).service
            yield self._state(name)
            if not self._ended.is_set():
                await self._ended.wait()
                yield self._state(name)
            return

    def _state(self, name: str) -> bytes:
        if name not in self._services:
            return _Answer(status=_Answer.SERVICE_UNKNOWN).SerializeToString()
        state = _Answer.NOT_SERVING if self._ended.is_set() else _Answer.SERVING
        return _Answer(status=state).SerializeToString()
