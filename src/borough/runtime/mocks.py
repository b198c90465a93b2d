"""`--mock SERVICE`: a service's contracts answered from their examples, so that callers can start first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from borough.contracts.operation import Contract, Operation
from borough.contracts.reading import contract_mark, read_contract
from borough.errors import ConfigurationError
from borough.runtime.system import System, contract_classes, needed_contracts, service_name

__all__ = ["mock_of", "mocked"]


def mocked(
    system: System, names: Sequence[str], further: Sequence[type[Any]] = ()
) -> tuple[System, dict[type[Any], Any]]:
    """The system without these services, and stand-ins for their contracts.

    `further` are contracts that nothing of the system leads to. Raises `ConfigurationError` for a
    name that no contract has.
    """
    if not names:
        return system, {}
    narrowed = system.narrowed([cls for cls in system.services if service_name(cls) not in names])
    provided = [found for cls in system.services for found in contract_classes(cls)]
    needed = needed_contracts(narrowed.services)
    known = dict.fromkeys([*provided, *system.contracts, *needed, *further])
    stand_ins: dict[type[Any], Any] = {}
    for name in names:
        found = [cls for cls in known if _service_of(cls) == name]
        if not found:
            raise ConfigurationError(f"--mock {name}: no contract here is of a service {name!r}")
        stand_ins.update({cls: mock_of(read_contract(cls)) for cls in found})
    return narrowed, stand_ins


def _service_of(cls: type[Any]) -> str | None:
    mark = contract_mark(cls)
    return mark.service if mark is not None else None


def mock_of(contract: Contract) -> Any:
    """An object that answers each operation with its example, else one generated from its type."""
    from borough.contracts.descriptor import describe
    from borough.contracts.examples import example_result

    descriptor = describe(contract)
    described = {operation.name: operation for operation in descriptor.operations}
    mock = type(f"{contract.name}Mock", (), {})()
    for name, operation in contract.operations.items():
        example = example_result(described[name], descriptor)
        setattr(mock, name, _answering(operation, example))
    return mock


def _answering(operation: Operation, example: Any) -> Callable[..., Any]:
    kind = operation.result
    value = None if kind is type(None) else msgspec.convert(example, kind)

    async def answer(*_arguments: Any) -> Any:
        return value

    async def stream(*_arguments: Any) -> AsyncIterator[Any]:
        yield value

    return stream if operation.stream else answer
