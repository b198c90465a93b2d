"""The typed client that wiring puts where a service annotated a contract.

A method makes a `Call` from the call at hand (deadline, trace, end user; the caller is whoever the
client was made for) and sends it. This is the hot path: nothing is looked up, little is allocated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, NoReturn

from borough.clock import Clock
from borough.contracts.argument import find_fact
from borough.contracts.operation import Contract, Operation, Parameter
from borough.errors import InvalidRequest, TransactionMisuse
from borough.ports import Send, Transport
from borough.services.context import CURRENT, IN_TRANSACTION, NO_DEADLINE, Call, Principal, WorkPool
from borough.telemetry.recorder import Recorder, start_trace

__all__ = ["Caller", "completion", "connect_client", "empty_client", "make_client"]


class Caller:
    """On whose account a client calls: the service, its thread pool, and what holds outside of any call."""

    __slots__ = (
        "clock",
        "default_timeout_s",
        "key",
        "pools",
        "principal",
        "recorder",
        "service",
    )

    def __init__(
        self,
        service: str | None,
        clock: Clock,
        *,
        default_timeout_s: float = 10.0,
        principal: Principal | None = None,
        key: str | None = None,
        pools: dict[str, WorkPool] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.service = service
        self.clock = clock
        self.default_timeout_s = default_timeout_s
        self.principal = principal
        self.key = key
        self.recorder = recorder
        self.pools = pools if pools is not None else {}

    def first_call(self) -> Call:
        """The call that stands for work outside of any call: a test, a start hook, a command."""
        return Call(
            "",
            self.service or "",
            None,
            self.principal,
            self.clock.monotonic() + self.default_timeout_s,
            start_trace(self.recorder, self.clock.token),
        )


def empty_client(contract: Contract) -> Any:
    """A client whose operations are not connected yet: services may need each other."""
    return type(f"{contract.name}Client", (), {"__slots__": tuple(contract.operations)})()


def connect_client(client: Any, contract: Contract, transport: Transport, caller: Caller) -> None:
    """Bind every operation of an empty client to its way."""
    for operation in contract.operations.values():
        send = transport.bind(operation)
        method = _method(operation, send, caller)
        method.__name__ = operation.name
        method.__qualname__ = f"{contract.name}.{operation.name}"
        method.__doc__ = operation.doc
        setattr(client, operation.name, method)


def make_client(contract: Contract, transport: Transport, caller: Caller) -> Any:
    """An object with the contract's operations, called on account of `caller`."""
    client = empty_client(contract)
    connect_client(client, contract, transport, caller)
    return client


def _method(operation: Operation, send: Send, caller: Caller) -> Callable[..., Any]:
    """The client's method: a plain function that returns the transport's awaitable (or stream) itself."""
    count = len(operation.parameters)
    complete = completion(operation)
    wire_name = operation.wire_name
    callee = operation.contract.service
    service = caller.service
    pool = caller.pools.get(callee)
    current, begun = CURRENT.get, IN_TRANSACTION.get
    key_of = _key_source(operation, caller)

    def refuse() -> NoReturn:
        raise TransactionMisuse(
            f"{wire_name} was called inside an open transaction of {service}; commit first, then call"
        )

    def send_from(arguments: tuple[Any, ...]) -> Any:
        here = current()
        if here is None:
            here = caller.first_call()
        elif (transaction := begun()) is not None and transaction.is_open:
            refuse()
        armed = here.armed
        if armed > here.deadline:
            armed = NO_DEADLINE
        key = None if key_of is None else key_of(arguments, here)
        return send(
            arguments,
            Call(
                wire_name,
                callee,
                service,
                here.principal,
                here.deadline,
                here.trace,
                key,
                None,
                pool,
                armed,
                here.armed_in,
            ),
        )

    def method(*arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != count:
            arguments = complete(arguments, named)
        return send_from(arguments)

    def one(argument: Any) -> Any:
        return send_from((argument,))

    if count != 1 or operation.parameters[0].name in one.__code__.co_freevars:
        return method
    return _with_parameter(one, operation.parameters[0])


def _with_parameter(one: Callable[[Any], Any], parameter: Parameter) -> Callable[..., Any]:
    """The same function, its argument named as in the contract: Python then binds it, faster than we could.

    No name of the function's own may be the same: a debugger could not tell them apart.
    """
    code = one.__code__
    named = code.replace(co_varnames=(parameter.name, *code.co_varnames[1:]))
    defaults = None if parameter.required else (parameter.default,)
    return FunctionType(named, one.__globals__, None, defaults, one.__closure__)


def _key_source(
    operation: Operation, caller: Caller
) -> Callable[[Sequence[Any], Call], str | None] | None:
    """Where the idempotency key of a keyed operation comes from; None for an operation without."""
    by = operation.mark.idempotent_by
    if by is None:
        return None
    names = [parameter.name for parameter in operation.parameters]
    if by in names:
        return _fact_source(operation, names.index(by))

    def from_call(arguments: Sequence[Any], here: Call) -> str | None:
        if here.event_id is None:
            return caller.key
        # An event's handler may run again; its calls then carry the same keys, in the order they are made.
        key, made = f"{here.key}:{operation.wire_name}", here.made
        if made is None:
            return key
        count = made[operation.wire_name] = made.get(operation.wire_name, 0) + 1
        return key if count == 1 else f"{key}:{count}"

    return from_call


def _fact_source(operation: Operation, index: int) -> Callable[[Sequence[Any], Call], str | None]:
    """The key of a business fact: the text of the argument as whoever answers reads it, who may derive it again."""
    expected = find_fact(operation, operation.parameters[index])
    if expected is None:
        return lambda arguments, here: str(arguments[index])
    usual = expected.kind

    def from_argument(arguments: Sequence[Any], here: Call) -> str:
        value = arguments[index]
        if type(value) is not usual:
            try:
                value = expected.fitted(value)
                value = float(value) if usual is float else value
            except (InvalidRequest, OverflowError):
                pass  # it is refused where it is sent
        return str(value)

    return from_argument


def completion(
    operation: Operation,
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, ...]]:
    """Positional and named arguments into the operation's order, as Python itself would."""
    parameters = operation.parameters
    names = [parameter.name for parameter in parameters]

    def complete(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        if len(arguments) > len(parameters):
            raise TypeError(
                f"{operation.name}() takes {len(parameters)} arguments, {len(arguments)} were given"
            )
        found = dict(zip(names, arguments, strict=False))
        for name, value in named.items():
            if name not in names:
                raise TypeError(f"{operation.name}() got an unexpected keyword argument {name!r}")
            if name in found:
                raise TypeError(f"{operation.name}() got multiple values for argument {name!r}")
            found[name] = value
        missing = [p.name for p in parameters if p.name not in found and p.required]
        if missing:
            raise TypeError(f"{operation.name}() missing {', '.join(map(repr, missing))}")
        return tuple(found.get(p.name, p.default) for p in parameters)

    return complete
