"""Calls stay in the process where somebody there answers; all others go to another process."""

from __future__ import annotations

from collections.abc import Mapping

from borough.contracts.operation import Operation
from borough.ports import Send, Transport
from borough.transports.callee import Callee
from borough.transports.local import LocalTransport

__all__ = ["NearestTransport"]


class NearestTransport:
    """Decides once per operation, when it is bound."""

    def __init__(self, callees: Mapping[str, Callee], remote: Transport) -> None:
        self._callees = callees
        self._local = LocalTransport(callees)
        self._remote = remote

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        if operation.wire_name in self._callees:
            return self._local.bind(operation)
        return self._remote.bind(operation)

    async def close(self) -> None:
        """Close the connections to others."""
        await self._remote.close()
