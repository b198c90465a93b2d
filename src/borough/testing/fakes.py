"""Fakes of contracts. Any object of the right shape is one; `fake` makes one from answers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from borough.contracts.answer import find_fit
from borough.contracts.operation import Contract, Operation
from borough.contracts.reading import read_contract
from borough.errors import ServiceFailure
from borough.runtime.client import completion

__all__ = ["calls", "fake"]

C = TypeVar("C")


class _Fake:
    """Answers a contract's operations with what it was given, and notes each call."""

    def __init__(self, contract: Contract) -> None:
        self.borough_calls: list[tuple[str, tuple[Any, ...]]] = []
        self.borough_contract = contract


def fake(contract: Callable[..., C], **answers: Any) -> C:
    """An object that answers `contract`: each operation by a value, an exception to raise, or a function.

    A function takes the operation's parameters and may be `async`; a stream is given as a sequence
    of items. An operation without an answer raises `NotImplementedError` when it is called. Raises
    `TypeError` for an answer to an operation that the contract does not have, and for a value that it
    does not promise.
    """
    found = read_contract(contract)  # type: ignore[arg-type]
    unknown = sorted(set(answers) - set(found.operations))
    if unknown:
        raise TypeError(
            f"{found.name} has no operation {unknown[0]}; it has {', '.join(found.operations)}"
        )
    for name, answer in answers.items():
        _refuse_other(found.operations[name], answer)
    made = _Fake(found)
    for name, operation in found.operations.items():
        make = _stream if operation.stream else _method
        setattr(made, name, make(made, operation, answers.get(name, _missing(operation))))
    return made  # type: ignore[return-value]


def calls(of: object) -> list[tuple[str, tuple[Any, ...]]]:
    """What a fake was asked so far: (operation, arguments) in order. Raises `TypeError` for anything else."""
    if not isinstance(of, _Fake):
        raise TypeError(f"{of!r} was not made by borough.testing.fake")
    return list(of.borough_calls)


def _refuse_other(operation: Operation, answer: Any) -> None:
    fit = find_fit(operation)
    if operation.stream or _is_raised(answer) or _is_called(answer):
        return
    try:
        fit.answered(answer)
    except ServiceFailure as error:
        raise TypeError(f"in the fake {error.detail}") from None


def _is_raised(answer: Any) -> bool:
    is_class = isinstance(answer, type) and issubclass(answer, BaseException)
    return is_class or isinstance(answer, BaseException)


def _is_called(answer: Any) -> bool:
    return callable(answer) and not hasattr(answer, "__struct_fields__")


def _missing(operation: Operation) -> NotImplementedError:
    return NotImplementedError(
        f"the fake of {operation.contract.name} has no answer for {operation.name}"
    )


async def _given(answer: Any, arguments: tuple[Any, ...]) -> Any:
    if _is_raised(answer):
        raise answer
    if not _is_called(answer):
        return answer
    result = answer(*arguments)
    return await result if inspect.isawaitable(result) else result


def _method(made: _Fake, operation: Operation, answer: Any) -> Callable[..., Any]:
    complete = completion(operation)

    async def method(*arguments: Any, **named: Any) -> Any:
        given = complete(arguments, named)
        made.borough_calls.append((operation.name, given))
        return await _given(answer, given)

    return method


def _stream(made: _Fake, operation: Operation, answer: Any) -> Callable[..., Any]:
    complete = completion(operation)

    async def method(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        given = complete(arguments, named)
        made.borough_calls.append((operation.name, given))
        for item in await _given(answer, given):
            yield item

    return method
