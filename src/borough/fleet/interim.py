"""Public door by remote callees: every operation is decoded, called at a replica, and encoded again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from borough.contracts.operation import Contract, Operation
from borough.ports import Transport
from borough.services.context import current_call
from borough.transports.http.wire import EDGE

__all__ = ["remote_stand_in"]


def remote_stand_in(contract: Contract, transport: Transport) -> Any:
    """An object that answers a contract by calling whoever provides it."""
    made = SimpleNamespace()
    for name, operation in contract.operations.items():
        setattr(made, name, _passing(operation, transport))
    return made


def _passing(operation: Operation, transport: Transport) -> Callable[..., Any]:
    send = transport.bind(operation)

    async def method(*arguments: Any) -> Any:
        return await send(arguments, msgspec.structs.replace(current_call(), caller=EDGE))

    async def stream(*arguments: Any) -> AsyncIterator[Any]:
        async for item in send(arguments, msgspec.structs.replace(current_call(), caller=EDGE)):
            yield item

    return stream if operation.stream else method
