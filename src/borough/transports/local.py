"""Both ends in one process. No copying where values are frozen, yet the same checks as on a wire.

Values whose type is frozen all through and unconstrained pass as they are. All others are rebuilt,
which copies lists and mappings and checks the constraints, as decoding would. So is a value in which
something else stands in place of a float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from borough.contracts.argument import find_expected
from borough.contracts.carried import check_carried
from borough.contracts.codec import reply_fields
from borough.contracts.conversion import conversion
from borough.contracts.finite import NO_FLOAT, Look, find_unfit, refuse_endless
from borough.contracts.marks import Reply
from borough.contracts.operation import Operation, Parameter
from borough.contracts.portable import is_settled
from borough.contracts.unreadable import pointer_of
from borough.errors import InvalidRequest, ServiceFailure
from borough.ports import Send
from borough.services.context import Call
from borough.transports.callee import Callee, unreached

__all__ = ["LocalTransport"]

_KEPT = (bytes,)


class LocalTransport:
    """Calls the callees of this process."""

    def __init__(self, callees: Mapping[str, Callee]) -> None:
        self._callees = callees

    def bind(self, operation: Operation) -> Send:
        """See `Transport`. Raises `Unavailable` when the call is made and nobody here answers."""
        callee = self._callees.get(operation.wire_name)
        if callee is None:
            return _nobody(operation)
        if operation.stream:
            return _stream(operation, callee)
        checks = _checks(operation)
        settle = _settled_result(operation)
        if settle is None and not any(check.rebuild or check.endless for check in checks):
            return _direct(callee, checks)
        return _rebuilt(callee, checks, settle)

    async def close(self) -> None:
        """Nothing is held open."""


class _Check:
    """What one argument needs at the boundary: its class compared, its numbers seen, or the value rebuilt."""

    __slots__ = (
        "about", "carried", "endless", "expected", "index", "made", "name", "parameter", "rebuild", "unfit",
    )  # fmt: skip

    def __init__(self, operation: Operation, index: int, parameter: Parameter) -> None:
        self.about = operation.wire_name
        self.index = index
        self.parameter = parameter
        self.name = parameter.name
        self.made = conversion(parameter.kind)
        self.expected = find_expected(operation, parameter)
        self.carried = parameter.place in ("path", "header")
        self.rebuild = self.carried or not is_settled(parameter.kind)
        self.endless = find_unfit(parameter.kind, exact=not self.rebuild)
        self.unfit = self.endless if self.rebuild else find_unfit(parameter.kind)


def _checks(operation: Operation) -> list[_Check]:
    found = [
        _Check(operation, index, parameter) for index, parameter in enumerate(operation.parameters)
    ]
    return [check for check in found if check.rebuild or check.endless or check.expected]


def _nobody(operation: Operation) -> Send:
    async def refuse(arguments: Sequence[Any], call: Call) -> Any:
        raise unreached(operation, f"Nobody in this process answers {operation.wire_name}")

    return refuse


def _direct(callee: Callee, checks: list[_Check]) -> Send:
    run = callee.run
    if callee.looks_itself:
        return run
    expected = [
        (each.index, each.expected.kind, each.expected.usual, each.expected)
        for each in checks
        if each.expected
    ]

    def send(arguments: Sequence[Any], call: Call) -> Any:
        for index, kind, usual, one in expected:
            argument: object = arguments[index]
            if type(argument) is not kind and type(argument) not in usual:
                try:
                    value = one.fitted(argument)
                except InvalidRequest as error:
                    return _refused(error)
                if value is not argument:
                    arguments = (*arguments[:index], value, *arguments[index + 1 :])
        return run(arguments, call)

    return send if expected else run


async def _refused(error: InvalidRequest) -> NoReturn:
    """Raise it where the call is awaited, as all others are."""
    raise error


def _rebuilt(callee: Callee, checks: list[_Check], settle: Callable[[Any], Any] | None) -> Send:
    async def send(arguments: Sequence[Any], call: Call) -> Any:
        settled = _settled_arguments(arguments, checks)
        result = await callee.run(settled, call)
        return result if settle is None else settle(result)

    return send


def _settled_arguments(arguments: Sequence[Any], checks: list[_Check]) -> list[Any]:
    settled = list(arguments)
    for check in checks:
        value = settled[check.index]
        if check.rebuild:
            settled[check.index] = _rebuild_argument(check, value)
        elif check.expected is not None and type(value) is not check.expected.kind:
            settled[check.index] = value = check.expected.fitted(value)
        if check.endless is not None:
            unfit = check.endless(value)
            if unfit is not None:
                if unfit[0] is NO_FLOAT:
                    # As it was given: rebuilding may hide what is refused.
                    _refuse_unfit(check, check.unfit, value)
                    settled[check.index] = value = _rebuild_argument(check, value)
                _refuse_unfit(check, check.endless, value)
    return settled


def _refuse_unfit(check: _Check, look: Look | None, value: Any) -> None:
    """Refuse what the look finds, if it finds something."""
    assert look is not None
    try:
        refuse_endless(check.name, look, value)
    except InvalidRequest as error:
        error.about = check.about
        raise


def _rebuild(value: Any, made: Callable[[Any], Any]) -> Any:
    return made(msgspec.to_builtins(value, builtin_types=_KEPT))


def _rebuild_argument(check: _Check, value: Any) -> Any:
    if value is msgspec.UNSET and check.parameter.default is msgspec.UNSET:
        return value  # it is left out, and no rebuilding knows that
    try:
        if check.carried:
            check_carried(check.parameter, value)
        return _rebuild(value, check.made)
    except InvalidRequest as error:
        error.about = check.about
        raise
    except (ValueError, TypeError, RecursionError) as error:
        message, pointer = pointer_of(str(error))
        refusal = InvalidRequest(
            f"{check.name} does not fit: {message} at {pointer}",
            errors=[{"detail": message, "pointer": pointer, "parameter": check.name}],
        )
        refusal.about = check.about
        raise refusal from None


def _settled_result(operation: Operation) -> Callable[[Any], Any] | None:
    settle = _settled_value(operation)
    if not operation.is_reply:
        return settle

    def settle_reply(reply: Any) -> Any:
        try:
            reply_fields(reply)
        except ServiceFailure as error:
            raise _out_of_contract(operation, error.detail) from None
        return reply if settle is None else settle(reply)

    return settle_reply


def _settled_value(operation: Operation) -> Callable[[Any], Any] | None:
    kind = operation.result
    rebuild = not is_settled(kind)
    look = find_unfit(kind, exact=not rebuild)
    if kind is type(None) or not (rebuild or look):
        return None
    made, unfit = conversion(kind), find_unfit(kind)

    def settle(value: Any) -> Any:
        is_reply = isinstance(value, Reply)
        answer: Any = value
        bare: Any = answer.value if is_reply else answer
        found = look(bare) if look is not None else None
        is_inexact = found is not None and found[0] is NO_FLOAT
        if is_inexact and unfit is not None:
            found = unfit(bare)  # as it was given: rebuilding may hide what is refused
        if found is not None:
            raise _out_of_contract(operation, f"{found[0]} at #{found[1]}")
        if not (is_inexact or rebuild):
            return answer
        try:
            bare = _rebuild(bare, made)
        except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
            raise _out_of_contract(operation, str(error)) from None
        found = look(bare) if is_inexact and look is not None else None
        if found is not None:
            raise _out_of_contract(operation, f"{found[0]} at #{found[1]}")
        return msgspec.structs.replace(answer, value=bare) if is_reply else bare

    return settle


def _out_of_contract(operation: Operation, reason: str) -> ServiceFailure:
    error = ServiceFailure(f"{operation.wire_name} answered out of contract: {reason}")
    error.about = operation.wire_name  # and not the operation that made the call
    return error


def _stream(operation: Operation, callee: Callee) -> Send:
    checks = _checks(operation)
    settle = _settled_result(operation)

    async def items(arguments: Sequence[Any], call: Call) -> Any:
        stream = callee.stream(_settled_arguments(arguments, checks), call)
        try:
            async for item in stream:
                yield item if settle is None else settle(item)
        finally:
            await stream.aclose()

    return items
