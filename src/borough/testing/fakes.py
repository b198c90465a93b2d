"""Fakes of contracts. Any object of the right shape is one; `fake` makes one from answers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from borough.contracts.answer import find_fit
from borough.contracts.operation import Contract, Operation
from borough.contracts.problem import Problem
from borough.contracts.reading import read_contract
from borough.errors import ServiceFailure
from borough.runtime.client import completion

__all__ = ["calls", "contract_of", "fake", "misfit"]

C = TypeVar("C")


class _Fake:
    """Answers a contract's operations with what it was given, and notes each call."""

    def __init__(self, contract: Contract) -> None:
        self.borough_calls: list[tuple[str, tuple[Any, ...]]] = []
        self.borough_contract = contract


def fake(contract: Callable[..., C], **answers: Any) -> C:
    """An object that answers `contract`: each operation by a value, an exception to raise, or a function.

    A function takes the operation's parameters and may be `async`; a stream is given as a sequence
    of items, or as a function that returns one or is an asynchronous generator. An operation without an
    answer raises `NotImplementedError` when it is called. Raises `TypeError` for an answer to an operation
    that the contract does not have, for a function that does not take its parameters, and for a value or
    a problem that the contract does not promise. What a function answers beside the contract arrives as
    `ServiceFailure`, as from a service.
    """
    found = read_contract(contract)  # type: ignore[arg-type]
    unknown = sorted(set(answers) - set(found.operations))
    if unknown:
        raise TypeError(
            f"{found.name} has no operation {unknown[0]}; it has {', '.join(found.operations)}"
        )
    made = _Fake(found)
    for name, operation in found.operations.items():
        answer = answers.get(name, _missing(operation))
        if name in answers:
            _refuse_other(operation, answer)
        make = _stream if operation.stream else _method
        setattr(made, name, make(made, operation, answer))
    return made  # type: ignore[return-value]


def calls(of: object) -> list[tuple[str, tuple[Any, ...]]]:
    """What a fake was asked so far: (operation, arguments) in order. Raises `TypeError` for anything else."""
    if not isinstance(of, _Fake):
        raise TypeError(f"{of!r} was not made by borough.testing.fake")
    return list(of.borough_calls)


def contract_of(fake: object) -> Contract | None:
    """The contract that something made by `fake` answers; None of anything else."""
    return fake.borough_contract if isinstance(fake, _Fake) else None


def misfit(function: Callable[..., Any], operation: Operation) -> str | None:
    """Why a function cannot be called with an operation's parameters; None where it can, or nobody knows."""
    try:
        taken = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        taken.bind(*operation.parameters)
    except TypeError:
        names = ", ".join(parameter.name for parameter in operation.parameters)
        return f"{operation.name} takes ({', '.join(taken.parameters)}), its contract ({names})"
    return None


def _refuse_other(operation: Operation, answer: Any) -> None:
    name = operation.wire_name
    if _is_raised(answer):
        kind = answer if isinstance(answer, type) else type(answer)
        if issubclass(kind, Problem) and not issubclass(kind, operation.mark.raises):
            raise TypeError(f"in the fake {_undeclared(operation, kind)}")
        return
    if _is_called(answer):
        if (why := misfit(answer, operation)) is not None:
            raise TypeError(f"in the fake of {operation.contract.name} {why}")
        return
    fit = find_fit(operation)
    items = answer if operation.stream else [answer]
    if not hasattr(items, "__iter__") or isinstance(items, str | bytes):
        raise TypeError(f"in the fake {name} is a stream; give a sequence of its items")
    if operation.stream and not isinstance(items, Sequence):
        return  # they can be looked at but once
    try:
        for item in cast("Sequence[Any]", items):
            fit.answered(item)
    except ServiceFailure as error:
        raise TypeError(f"in the fake {error.detail}") from None


def _undeclared(operation: Operation, kind: type[Problem]) -> str:
    return f"{operation.wire_name} raised {kind.__name__}, which its contract does not declare"


def _is_raised(answer: Any) -> bool:
    is_class = isinstance(answer, type) and issubclass(answer, BaseException)
    return is_class or isinstance(answer, BaseException)


def _is_called(answer: Any) -> bool:
    return callable(answer) and not hasattr(answer, "__struct_fields__")


def _missing(operation: Operation) -> NotImplementedError:
    return NotImplementedError(
        f"the fake of {operation.contract.name} has no answer for {operation.name}"
    )


async def _given(operation: Operation, answer: Any, arguments: tuple[Any, ...]) -> Any:
    if _is_raised(answer):
        raise answer
    if not _is_called(answer):
        return answer
    with _promised(operation):
        result = answer(*arguments)
        return await result if inspect.isawaitable(result) else result


@contextmanager
def _promised(operation: Operation) -> Generator[None]:
    """Let of problems only those through that the operation declares, as a service's do."""
    try:
        yield
    except Problem as problem:
        if isinstance(problem, operation.mark.raises):
            raise
        raise ServiceFailure(_undeclared(operation, type(problem))) from problem


def _method(made: _Fake, operation: Operation, answer: Any) -> Callable[..., Any]:
    complete, fit = completion(operation), find_fit(operation)

    async def method(*arguments: Any, **named: Any) -> Any:
        given = complete(arguments, named)
        made.borough_calls.append((operation.name, given))
        return fit.answered(await _given(operation, answer, given))

    return method


def _stream(made: _Fake, operation: Operation, answer: Any) -> Callable[..., Any]:
    complete, fit = completion(operation), find_fit(operation)

    async def method(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
        given = complete(arguments, named)
        made.borough_calls.append((operation.name, given))
        items = await _given(operation, answer, given)
        if not hasattr(items, "__aiter__"):
            for item in items:
                yield fit.answered(item)
            return
        try:
            with _promised(operation):
                async for item in items:
                    yield fit.answered(item)
        finally:
            if (close := getattr(items, "aclose", None)) is not None:
                await close()

    return method
