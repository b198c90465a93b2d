"""Contracts made by a seed mean the same in the process, encoded and over HTTP: classes, values, problems, refusals."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

import msgspec
import pytest

from borough import Problem, System
from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.difference import changes
from borough.contracts.reading import read_contract
from borough.errors import CallError
from borough.testing import start
from tests.calls.contracts_at_random import Made, Operation, made
from tests.modes import IN_ONE_PROCESS


def plain(value: Any) -> Any:
    """A value as what compares by class, too, and tells 0.0 from -0.0."""
    if isinstance(value, msgspec.Struct):
        return type(value).__name__, [
            plain(getattr(value, each)) for each in value.__struct_fields__
        ]
    if isinstance(value, dict):
        return "dict", [(key, plain(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(each) for each in value]
    if isinstance(value, datetime):
        return "datetime", value.isoformat()
    return type(value).__name__, repr(value)


async def outcome(client: Any, operation: Operation, given: dict[str, Any]) -> Any:
    """What a caller gets."""
    got: list[Any] = []
    try:
        if not operation.is_stream:
            return plain(await getattr(client, operation.name)(**given))
        async for item in getattr(client, operation.name)(**given):
            got += [plain(item)]
    except Problem as problem:
        return *got, type(problem).__name__, plain(problem.values)
    except CallError as error:
        return *got, type(error).__name__, error.about, bool(error.detail)
    return got


async def compared(found: Made, clients: list[Any], operation: Operation) -> None:
    """One call, in every mode."""
    given = {name: value() for name, value in operation.arguments.items()}
    for name in sorted(operation.optional)[: len(given) % 2]:
        del given[name]
    found.told[:] = [operation.answer(), operation.answer()]
    if len(repr(given)) % 4 == 0:
        found.told[-1 if operation.is_stream else 0] = found.problem()
    before, outcomes = plain((given, found.told)), []
    for client in clients:
        found.seen.clear()
        outcomes.append((await outcome(client, operation, given), plain(found.seen)))
        assert plain((given, found.told)) == before
    assert outcomes[0] == outcomes[1] == outcomes[2], (operation.name, given)


@pytest.mark.parametrize("seed", range(12))
async def test_a_call_means_the_same_in_every_mode(seed: int) -> None:
    found = made(seed)
    async with AsyncExitStack() as stack:
        system = System([found.service])
        running = [
            await stack.enter_async_context(start(system, mode=mode)) for mode in IN_ONE_PROCESS
        ]
        clients = [each.client(found.contract) for each in running]
        for operation in found.operations:
            for _ in range(12):
                await compared(found, clients, operation)


@pytest.mark.parametrize("seed", range(12))
def test_a_contract_is_read_back_without_its_code(seed: int) -> None:
    descriptor = describe(read_contract(made(seed).contract))
    again = from_json(to_json(descriptor))
    assert (again, fingerprint(again)) == (descriptor, fingerprint(descriptor))
    assert not [*changes(descriptor, again)]
