"""From marks to a bound `Contract`. Every fault is collected with its place; none stops the reading.

Parameter places: names in the path are path parameters; for GET and DELETE the rest is the query;
otherwise a sole remaining Struct is the body, and anything else an object keyed by parameter name.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from borough.contracts.marks import (
    CONTRACT_MARK,
    IDEMPOTENCY_KEY,
    OPERATION_MARK,
    ContractMark,
    OperationMark,
    Place,
    Reply,
)
from borough.contracts.operation import REQUIRED, BoundEvent, Contract, Operation, Parameter, ParameterPlace
from borough.contracts.portable import encodable, is_scalar, portable_faults
from borough.contracts.problem import RESERVED_MEMBERS, Problem
from borough.contracts.struct import Event
from borough.errors import DeclarationFaults, Fault

__all__ = ["contract_mark", "read_contract", "read_contracts", "source_place"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
_VERSION = re.compile(r"[1-9][0-9]*\.(0|[1-9][0-9]*)\Z")
_PATH = re.compile(r"/(?:[A-Za-z0-9_.~-]+|\{[a-z_][a-z0-9_]*\})?(?:/(?:[A-Za-z0-9_.~-]+|\{[a-z_][a-z0-9_]*\}))*\Z")
_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def contract_mark(cls: Any) -> ContractMark | None:
    """The class's own `@contract` mark, None where it has none (a mark is not inherited)."""
    return vars(cls).get(CONTRACT_MARK) if isinstance(cls, type) else None


def source_place(thing: Any) -> tuple[str, int]:
    """File and line where a class or function stands; `("", 0)` when it has no source."""
    try:
        return inspect.getsourcefile(thing) or "", inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return "", 0


def read_contracts(classes: typing.Iterable[type[Any]]) -> list[Contract]:
    """Read several contracts. Raises `DeclarationFaults` with the faults of all of them together."""
    faults: list[Fault] = []
    found = [_Reader(cls, faults).read() for cls in classes]
    if faults:
        raise DeclarationFaults(faults)
    return [contract for contract in found if contract is not None]


def read_contract(cls: type[Any]) -> Contract:
    """Read one contract. Raises `DeclarationFaults` with all its faults."""
    return read_contracts([cls])[0]


class _Reader:
    """Reads one contract class and notes its faults."""

    def __init__(self, cls: type[Any], faults: list[Fault]) -> None:
        self.cls = cls
        self.faults = faults
        self.file, self.line = source_place(cls)
        self.line_here = self.line

    def fault(self, message: str, remedy: str) -> None:
        self.faults.append(Fault(message, remedy, self.file or None, self.line_here or None))

    def read(self) -> Contract | None:
        mark = contract_mark(self.cls)
        name = self.cls.__name__
        if mark is None:
            self.fault(f"{name} is no contract", 'Mark the class with @contract("service", version="1.0")')
            return None
        if not getattr(self.cls, "_is_protocol", False):
            self.fault(f"contract {name} is not a Protocol", f"Write `class {name}(Protocol)`")
        if not _NAME.match(mark.service):
            self.fault(
                f"contract {name} names the service {mark.service!r}", "Use lower-case letters, digits, - and _"
            )
        if not _VERSION.match(mark.version):
            self.fault(f"contract {name} has version {mark.version!r}", 'Write MAJOR.MINOR, such as "1.0"')
            return None
        contract = Contract(self.cls, mark, inspect.cleandoc(self.cls.__doc__ or ""), self.file, self.line)
        for attribute, function in self._functions():
            self.line_here = function.__code__.co_firstlineno
            operation = self._operation(contract, attribute, function)
            if operation is not None:
                contract.operations[attribute] = operation
        self.line_here = self.line
        self._routes_differ(contract)
        for event in mark.publishes:
            self._event(contract, event)
        return contract

    def _functions(self) -> list[tuple[str, types.FunctionType]]:
        found: dict[str, types.FunctionType] = {}
        for cls in reversed(self.cls.__mro__):
            if getattr(cls, "_is_protocol", False) and cls is not typing.Protocol:
                for name, value in vars(cls).items():
                    if isinstance(value, types.FunctionType) and not name.startswith("_"):
                        found[name] = value
        return list(found.items())

    def _routes_differ(self, contract: Contract) -> None:
        seen: dict[tuple[str, str], str] = {}
        for operation in contract.operations.values():
            route = operation.mark.method, _SLOT.sub("{}", operation.path)
            other = seen.setdefault(route, operation.name)
            if other != operation.name:
                self.fault(
                    f"{contract.name}.{operation.name} and .{other} both answer {route[0]} {operation.path}",
                    "Give one of them another path",
                )

    def _operation(self, contract: Contract, name: str, function: types.FunctionType) -> Operation | None:
        where = f"{contract.name}.{name}"
        mark: OperationMark | None = getattr(function, OPERATION_MARK, None)
        if mark is None:
            self.fault(f"{where} has no route", "Mark it with @get, @post, @put, @patch or @delete")
            return None
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except (NameError, TypeError, AttributeError) as error:
            self.fault(f"{where} has an annotation that cannot be read: {error}", "Import the name or mend the type")
            return None
        count = len(self.faults)
        result, stream, is_reply = self._result(where, function, hints)
        parameters = self._parameters(where, mark, function, hints)
        self._mark(where, contract, mark, parameters, result, stream)
        if len(self.faults) > count:
            return None
        request = _request_type(name, parameters)
        doc = inspect.cleandoc(function.__doc__ or "")
        return Operation(
            contract, name, mark, parameters, request, result, stream=stream, is_reply=is_reply, doc=doc
        )

    def _result(self, where: str, function: types.FunctionType, hints: dict[str, Any]) -> tuple[Any, bool, bool]:
        if "return" not in hints:
            self.fault(f"{where} does not say what it returns", "Annotate the return type, `-> None` for nothing")
            return None, False, False
        result = hints["return"]
        stream = typing.get_origin(result) is AsyncIterator
        if stream:
            result = typing.get_args(result)[0]
            if inspect.iscoroutinefunction(function):
                self.fault(f"{where} returns a stream and is `async def`", "Write plain `def` for a stream")
        elif not inspect.iscoroutinefunction(function):
            self.fault(f"{where} is not `async def`", "Operations are `async def`; streams return AsyncIterator[T]")
        is_reply = typing.get_origin(result) is Reply
        if is_reply:
            result = typing.get_args(result)[0]
        if result is not type(None):
            self._portable(f"the result of {where}", result)
        return result, stream, is_reply

    def _portable(self, what: str, kind: Any) -> bool:
        found = portable_faults(kind)
        for message in found:
            self.fault(f"{what} is not portable: {message}", "Use a Struct or one of the portable types")
        return not found

    def _parameters(
        self, where: str, mark: OperationMark, function: types.FunctionType, hints: dict[str, Any]
    ) -> tuple[Parameter, ...]:
        slots = set(_SLOT.findall(mark.path))
        drafts: list[tuple[str, Any, Any, Place | None]] = []
        for parameter in list(inspect.signature(function).parameters.values())[1:]:
            name = parameter.name
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                self.fault(f"{where} takes *{name}", "Name every parameter")
                continue
            if name not in hints:
                self.fault(f"parameter {name} of {where} has no type", "Annotate it")
                continue
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            if default is not REQUIRED and not encodable(default):
                self.fault(f"the default of {name} in {where} cannot be written as JSON", "Use a portable default")
            if self._portable(f"parameter {name} of {where}", hints[name]):
                drafts.append((name, hints[name], default, _place(hints[name])))
        for missing in sorted(slots - {draft[0] for draft in drafts}):
            self.fault(f"{where} has {{{missing}}} in its path and no such parameter", f"Add the parameter {missing}")
        loose = [draft for draft in drafts if draft[3] is None and draft[0] not in slots]
        sole = len(loose) == 1 and _is_struct(loose[0][1]) and mark.method not in ("GET", "DELETE")
        found: list[Parameter] = []
        for name, kind, default, place in drafts:
            if name in slots:
                spot: ParameterPlace = "path"
            elif place is not None:
                spot = place.kind
            elif mark.method in ("GET", "DELETE"):
                spot = "query"
            else:
                spot = "body" if sole else "field"
            self._fits(where, name, spot, kind)
            found.append(Parameter(name, spot, (place.name if place and place.name else name), kind, default))
        if any(p.place == "upload" for p in found) and any(p.place in ("field", "body") for p in found):
            self.fault(f"{where} has an upload and other body parameters", "Move them to the path, headers or cookies")
        return tuple(found)

    def _fits(self, where: str, name: str, spot: ParameterPlace, kind: Any) -> None:
        if spot == "path" and not is_scalar(kind):
            self.fault(f"path parameter {name} of {where} is no single value", "Use a str, int, UUID or enum")
        elif spot in ("query", "header", "cookie") and not _is_flat(kind, lists=spot == "query"):
            self.fault(
                f"{spot} parameter {name} of {where} is no single value",
                "Use scalars" + (" or tuples of them" if spot == "query" else "") + ", or POST a body",
            )

    def _mark(
        self,
        where: str,
        contract: Contract,
        mark: OperationMark,
        parameters: tuple[Parameter, ...],
        result: Any,
        stream: bool,
    ) -> None:
        if not _PATH.match(mark.path):
            self.fault(f"{where} has the path {mark.path!r}", "Write /segments with {parameter} slots")
        if mark.status not in (200, 201, 202, 204):
            self.fault(f"{where} answers {mark.status}", "Use 200, 201, 202 or 204")
        if mark.status == 204 and result is not type(None):
            self.fault(f"{where} answers 204 and returns a value", "Return None, or use 200")
        if stream and mark.idempotent_by:
            self.fault(f"{where} is a stream with an idempotency key", "Streams have no stored answer")
        if contract.mark.public and mark.allow is None:
            self.fault(
                f"{where} is public and does not say who may call it", 'Add allow=ANYONE, USER or scope("...")'
            )
        key = mark.idempotent_by
        by_name = {p.name: p for p in parameters}
        if key not in (None, IDEMPOTENCY_KEY) and (key not in by_name or not is_scalar(by_name[key].kind)):
            self.fault(f"{where} is idempotent by {key!r}, which is no scalar parameter of it", "Name one of its own")
        for problem in mark.raises:
            self._problem(where, problem)
        names = [getattr(problem, "__name__", "") for problem in mark.raises]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.fault(f"{where} raises two problems named {name}", "Rename one")

    def _problem(self, where: str, problem: Any) -> None:
        if not (isinstance(problem, type) and issubclass(problem, Problem)):
            self.fault(f"{where} raises {problem!r}, which is no Problem", "Inherit it from borough.Problem")
            return
        if not 400 <= problem.status <= 599:
            self.fault(f"problem {problem.__name__} has status {problem.status}", "Use 400 to 599")
        for name in sorted(set(problem.payload.__struct_fields__) & (RESERVED_MEMBERS - {"detail"})):
            self.fault(f"problem {problem.__name__} has a field {name!r}, which RFC 9457 uses", "Rename it")
        self._portable(f"problem {problem.__name__}", problem.payload)

    def _event(self, contract: Contract, event: Any) -> None:
        if not (isinstance(event, type) and issubclass(event, Event)):
            self.fault(f"{contract.name} publishes {event!r}, which is no Event", "Inherit it from borough.Event")
            return
        self.line_here = source_place(event)[1] or self.line
        keys: list[str] = []
        if self._portable(f"event {event.__name__}", event):
            hints = typing.get_type_hints(event, include_extras=True)
            keys = [field.encode_name for field in msgspec.structs.fields(event) if _is_key(hints[field.name])]
            for name in keys:
                if not is_scalar(hints[name]):
                    self.fault(f"the key {name} of event {event.__name__} is no single value", "Use a scalar")
        if len(keys) > 1:
            self.fault(f"event {event.__name__} has {len(keys)} keys", "Mark one field with Key[...]")
        wire_name = f"{contract.wire_name}.{event.__name__}"
        contract.events[wire_name] = BoundEvent(event, wire_name, contract.wire_name, keys[0] if keys else None)
        self.line_here = self.line


def _extras(kind: Any) -> list[Any]:
    found = []
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.extra:
            found.append(meta.extra.get("borough"))
    return found


def _place(kind: Any) -> Place | None:
    return next((extra for extra in _extras(kind) if isinstance(extra, Place)), None)


def _is_key(kind: Any) -> bool:
    return "key" in _extras(kind)


def _is_struct(kind: Any) -> bool:
    bare = typing.get_origin(kind) or kind
    return isinstance(bare, type) and issubclass(bare, msgspec.Struct)


def _is_flat(kind: Any, *, lists: bool) -> bool:
    """A scalar, an optional one, or (in a query) a tuple or list of scalars."""
    if is_scalar(kind):
        return True
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _is_flat(arguments[0], lists=lists)
    if origin in (typing.Union, types.UnionType):
        return all(argument is type(None) or _is_flat(argument, lists=lists) for argument in arguments)
    return lists and origin in (tuple, list) and all(a is Ellipsis or is_scalar(a) for a in arguments)


def _request_type(name: str, parameters: tuple[Parameter, ...]) -> Any:
    body = [p for p in parameters if p.place == "body"]
    if body:
        return body[0].kind
    fields = [p for p in parameters if p.place == "field"]
    if not fields:
        return None
    title = "".join(part.capitalize() for part in name.split("_")) + "Request"
    return msgspec.defstruct(
        title,
        [(p.name, p.kind) if p.required else (p.name, p.kind, p.default) for p in fields],
        kw_only=True,
        frozen=True,
    )
