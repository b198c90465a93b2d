"""One gRPC method and the operation behind it: a message becomes arguments, a result a message."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from borough.contracts.carried import check_carried
from borough.contracts.finite import Look, find_unfit
from borough.contracts.operation import Operation, Parameter
from borough.contracts.problem import Problem
from borough.contracts.proto import RESULT, ProtoFile, ProtoMethod
from borough.contracts.unreadable import pointer_of
from borough.errors import InvalidRequest, ServiceFailure
from borough.transports.grpc.compiling import Converters
from borough.transports.grpc.pool import MessagePool
from borough.transports.http.door import Route

__all__ = ["GrpcContract", "Method", "fields_named"]

_log = logging.getLogger("borough.grpc")


class GrpcContract:
    """A contract as gRPC serves it: its methods, and the messages of its problems."""

    def __init__(self, file: ProtoFile, routes: Mapping[str, Route], pool: MessagePool) -> None:
        """`routes`, by the operations' wire names, has all that the file has."""
        self.name = file.full_service
        converters = Converters(file)
        self.methods = [
            Method(each, file, routes[each.operation.wire_name], pool, converters)
            for each in file.methods
        ]
        problems = {
            code: (pool.message(file, name), converters.write(name))
            for code, name in file.problems.items()
        }
        for method in self.methods:
            method.problems = problems


class Method:
    """One method. `path` is that of gRPC: `/payments.v1.PaymentsService/Charge`."""

    def __init__(
        self,
        method: ProtoMethod,
        file: ProtoFile,
        route: Route,
        pool: MessagePool,
        converters: Converters,
    ) -> None:
        self.route = route
        self.path = f"/{file.full_service}/{method.name}"
        self.problems: Mapping[str, tuple[Any, Callable[[Any], dict[str, Any]]]] = {}
        operation = route.callee.operation
        self.is_stream = operation.stream
        self.is_reply = operation.is_reply
        self._wire_name = operation.wire_name
        self._parse = pool.message(file, method.request).FromString
        self._read = converters.read(method.request)
        self._arguments = _Arguments(operation)
        self._make = pool.message(file, method.response)
        self._write = converters.write(method.response)
        self._is_void = operation.result is type(None)
        self._empty: bytes = self._make().SerializeToString()
        self._unfit = find_unfit(operation.result)

    def arguments(self, data: bytes) -> tuple[Any, ...]:
        """The arguments in a message. Raises `InvalidRequest` naming each place."""
        try:
            message = self._parse(data)
        except DecodeError:
            raise InvalidRequest("The message cannot be read as protobuf") from None
        return self._arguments.of(self._read(message))

    def message(self, result: Any) -> bytes:
        """The message of a result, or of an item. Raises `ServiceFailure` where it does not fit."""
        if self._is_void:
            return self._empty
        unfit = None if self._unfit is None else self._unfit(result)
        if unfit is not None:
            raise self._out_of_contract(f"{unfit[0]} at #{unfit[1]}")
        try:
            told: bytes = self._make(**self._write(_Answer(result))).SerializeToString()
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise self._out_of_contract(error) from None
        return told

    def _out_of_contract(self, reason: object) -> ServiceFailure:
        message = f"{self._wire_name} answered out of contract: {reason}"
        _log.error("%s", message)
        return ServiceFailure(message)

    def problem_message(self, problem: Problem, code: str) -> Any:
        """The message of a declared problem."""
        make, write = self.problems[code]
        try:
            return make(**write(problem))
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            self._out_of_contract(f"{type(problem).__name__}: {error}")  # which the log tells
            return None


class _Answer:
    """A result under the name of the one field of a response."""

    __slots__ = (RESULT,)

    def __init__(self, result: Any) -> None:
        self.result = result


class _Arguments:
    """Makes the arguments of an operation of what was read by their names."""

    def __init__(self, operation: Operation) -> None:
        self._kind = msgspec.defstruct(
            "Arguments", [_field(each) for each in operation.parameters], kw_only=True, frozen=True
        )
        names = [each.name for each in operation.parameters]
        self._names = attrgetter(*names) if len(names) > 1 else None
        self._one = attrgetter(names[0]) if len(names) == 1 else None
        self._carried = [
            (index, each)
            for index, each in enumerate(operation.parameters)
            if each.place in ("path", "header")
        ]
        self._looks: list[tuple[str, Look]] = []
        for each in operation.parameters:
            look = find_unfit(each.kind)
            if look is not None:
                self._looks.append((each.name, look))

    def of(self, value: Any) -> tuple[Any, ...]:
        """The arguments in their order. Raises `InvalidRequest`."""
        try:
            given = msgspec.convert(value, self._kind)
        except msgspec.ValidationError as error:
            message, pointer = pointer_of(str(error))
            raise InvalidRequest(
                f"{message} at {pointer}", errors=[{"detail": message, "pointer": pointer}]
            ) from None
        for name, look in self._looks:
            wrong = look(getattr(given, name))
            if wrong is not None:
                place = f"#/{name}{wrong[1]}"
                raise InvalidRequest(
                    f"{wrong[0]} at {place}", errors=[{"detail": wrong[0], "pointer": place}]
                )
        if self._names is not None:
            found = self._names(given)
        else:
            found = () if self._one is None else (self._one(given),)
        for index, parameter in self._carried:
            check_carried(parameter, found[index])
        return found


def _field(parameter: Parameter) -> Any:
    if parameter.required:
        return parameter.name, parameter.kind
    default = parameter.default
    if type(default) in (list, dict):
        return parameter.name, parameter.kind, msgspec.field(default_factory=default.copy)
    return parameter.name, parameter.kind, default


def fields_named(place: Mapping[str, str]) -> str:
    """What `errors` of a problem point to, as protobuf writes it: `thing.items[0].count`."""
    if "pointer" not in place:
        return place.get("parameter", "")
    steps = place["pointer"].removeprefix("#").split("/")[1:]
    names = [step.replace("~1", "/").replace("~0", "~") for step in steps]
    return "".join(f"[{n}]" if n.isdigit() else f".{n}" for n in names).removeprefix(".")
