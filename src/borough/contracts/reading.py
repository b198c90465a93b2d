"""From marks to a bound `Contract`. Every fault is collected with its place; none stops it.

A contract is judged whole: its operations (`parameters.py`), types (`catalog.py`), problems and
events (`promises.py`). Several contracts read together are judged together.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from borough.contracts.catalog import Catalog, own_doc
from borough.contracts.fit import misfit
from borough.contracts.marks import (
    ANYONE,
    CONTRACT_MARK,
    IDEMPOTENCY_KEY,
    OPERATION_MARK,
    Allow,
    ContractMark,
    OperationMark,
    Reply,
)
from borough.contracts.objective import objectives_of
from borough.contracts.operation import OF_SERVICES, Contract, Operation, Parameter
from borough.contracts.parameters import ParameterReader
from borough.contracts.portable import json_value
from borough.contracts.promises import PromiseReader
from borough.contracts.retention import LATEST_PER_KEY, Retention
from borough.contracts.shapes import Shape
from borough.contracts.source import FaultList, same_name, source_place
from borough.errors import DeclarationFaults

__all__ = ["contract_mark", "read_contract", "read_contracts", "source_place", "wire_name_of"]

_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")
_VERSION = re.compile(r"[1-9][0-9]*\.(0|[1-9][0-9]*)\Z")
_MAJOR = re.compile(r"[0-9]{1,9}")
_SEGMENT = r"(?!\.\.?(?:/|\Z))(?:[A-Za-z0-9_.~-]+|\{[a-z_][a-z0-9_]*\})"
_PATH = re.compile(rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*)?\Z")
_SLOT = re.compile(r"\{[a-z_][a-z0-9_]*\}")


def contract_mark(cls: Any) -> ContractMark | None:
    """The class's own `@contract` mark, None where it has none (a mark is not inherited)."""
    return vars(cls).get(CONTRACT_MARK) if isinstance(cls, type) else None


def read_contracts(classes: Iterable[type[Any]]) -> list[Contract]:
    """Read several contracts. Raises `DeclarationFaults` with the faults of all together."""
    faults = FaultList()
    found = [_Reader(cls, faults).read() for cls in classes]
    contracts = [contract for contract in found if contract is not None]
    _agree(contracts, faults)
    if faults.faults:
        raise DeclarationFaults(faults.faults)
    return contracts


def read_contract(cls: type[Any]) -> Contract:
    """Read one contract. Raises `DeclarationFaults` with all its faults."""
    return read_contracts([cls])[0]


def wire_name_of(cls: type[Any]) -> str:
    """The wire name that a contract's mark gives it, also where the contract has faults."""
    mark = contract_mark(cls)
    assert mark is not None
    version = _MAJOR.match(str(mark.version))
    major = int(version[0]) if version else 1
    return f"{mark.service}.{cls.__name__}" + (f".v{major}" if major > 1 else "")


def _agree(contracts: list[Contract], faults: FaultList) -> None:
    """What no contract can have wrong alone: names, routes and events of which there may be one."""
    names: dict[str, Contract] = {}
    routes: dict[tuple[str, str], Operation] = {}
    events: dict[type[Any], Contract] = {}
    for contract in contracts:
        other = names.setdefault(contract.wire_name, contract)
        if other is not contract:
            faults.add(*same_name(contract.wire_name, contract.cls, other.cls), contract.cls)
            continue
        for operation in contract.operations.values():
            route = operation.mark.method, _SLOT.sub("{}", operation.path)
            rival = routes.setdefault(route, operation)
            if rival is not operation:
                both = f"{_said(operation)} and {_said(rival)}"
                faults.add(
                    f"{both} both answer {route[0]} {operation.path}",
                    "Give one of them another path",
                    getattr(contract.cls, operation.name),
                )
        for event in contract.events.values():
            owner = events.setdefault(event.kind, contract)
            if owner is not contract:
                faults.add(
                    f"event {event.kind.__name__} is published by {owner.name} and {contract.name}",
                    "An event belongs to one contract; remove it from the other",
                    contract.cls,
                )


def _said(operation: Operation) -> str:
    return f"{operation.contract.name}.{operation.name}"


class _Reader:
    """Reads one contract class and notes its faults."""

    def __init__(self, cls: type[Any], faults: FaultList) -> None:
        self.cls = cls
        self.faults = faults
        self.catalog = Catalog()
        self.promises = PromiseReader(self.catalog, faults)
        self.at: Any = cls

    def fault(self, message: str, remedy: str) -> None:
        """Note a fault of what is being read."""
        self.faults.add(message, remedy, self.at)

    def shape_of(self, what: str, kind: Any) -> Shape:
        """The shape of a type; what cannot travel is noted."""
        return self.promises.shape_of(what, kind, self.at)

    def read(self) -> Contract | None:
        """The contract, None where it has no mark. A wrong head does not hide the faults behind it."""
        mark = contract_mark(self.cls)
        name = self.cls.__name__
        if mark is None:
            self.fault(f"{name} is no contract", 'Mark it with @contract("service", version="1.0")')
            return None
        if not self._head(name, mark):
            mark = ContractMark(
                name.lower(), "1.0", mark.publishes, public=mark.public, retains=mark.retains
            )
        contract = Contract(self.cls, mark, own_doc(self.cls))
        for attribute, function in self._functions():
            self.at = function
            operation = self._operation(contract, attribute, function)
            if operation is not None:
                contract.operations[attribute] = operation
        self.at = self.cls
        if not contract.operations and not mark.publishes and not self.faults.faults:
            self.fault(f"contract {name} promises nothing", "Give it an operation or an event")
        for event in self.promises.events(contract):
            contract.events[event.wire_name] = event
        self._retention(contract)
        self._objectives(contract)
        self.promises.endless()
        return contract

    def _head(self, name: str, mark: ContractMark) -> bool:
        if not getattr(self.cls, "_is_protocol", False):
            self.fault(f"contract {name} is not a Protocol", f"Write `class {name}(Protocol)`")
        if getattr(self.cls, "__parameters__", ()):
            self.fault(f"contract {name} is generic", "Say which types it has")
        if not name.isascii() or name.startswith("_"):
            self.fault(
                f"contract {name} cannot be named on the wire", "Use ASCII letters, no _ first"
            )
        service: Any = mark.service
        version: Any = mark.version
        if not isinstance(service, str) or not _NAME.match(service):
            message = f"contract {name} names the service {service!r}"
            self.fault(message, "Use lower-case letters, digits, - and _")
            return False
        if not isinstance(version, str) or not _VERSION.match(version):
            message = f"contract {name} has version {version!r}"
            self.fault(message, 'Write MAJOR.MINOR, such as "1.0"')
            return False
        return True

    def _objectives(self, contract: Contract) -> None:
        try:
            objectives_of(contract.service, contract.mark.availability, contract.mark.latency)
        except ValueError as error:
            wrong, _, remedy = str(error).partition("; ")
            self.fault(f"contract {contract.name}: {wrong}", remedy.capitalize())

    def _retention(self, contract: Contract) -> None:
        """How long the topic keeps what: in words that are known, of events that can be told apart."""
        words: Any = contract.mark.retains
        found = Retention.read(words)
        if found is None:
            self.fault(
                f"contract {contract.name} retains {words!r}",
                'Write "7d", "36h", "latest per key" or "forever"',
            )
        if found != LATEST_PER_KEY:
            return
        if not contract.mark.publishes:
            self.fault(
                f"contract {contract.name} retains the latest per key and publishes nothing",
                "Remove retains=, or name its events in publishes=[...]",
            )
        for event in contract.events.values():
            if event.key is None:
                self.faults.add(
                    f"event {event.kind.__name__} has no key, and {contract.name} retains the latest per key",
                    "Mark one field with Key[...]",
                    event.kind,
                )

    def _functions(self) -> list[tuple[str, types.FunctionType]]:
        """Every operation, also those of Protocols that it inherits; anything else is a fault."""
        found: dict[str, types.FunctionType] = {}
        for cls in reversed(self.cls.__mro__):
            if not getattr(cls, "_is_protocol", False) or cls is typing.Protocol:
                continue
            members = {**dict.fromkeys(inspect.get_annotations(cls)), **vars(cls)}
            for name, value in members.items():
                marked = getattr(value, OPERATION_MARK, None) is not None
                if isinstance(value, type) or (name.startswith("_") and not marked):
                    continue
                if not isinstance(value, types.FunctionType):
                    message = f"{self.cls.__name__}.{name} is no operation"
                    self.fault(message, "A contract has only operations; write a method for it")
                    continue
                self.at = value
                if name.startswith("_") or not name.isascii():
                    message = f"{self.cls.__name__}.{name} cannot be named on the wire"
                    self.fault(message, "Use ASCII letters, no _ first")
                elif name in OF_SERVICES:
                    message = f"{self.cls.__name__}.{name} has the name of what every service does"
                    self.fault(message, f"Rename it; Service.{name} {OF_SERVICES[name]}")
                self.at = self.cls
                found[name] = value
        return list(found.items())

    def _operation(
        self, contract: Contract, name: str, function: types.FunctionType
    ) -> Operation | None:
        where = f"{contract.name}.{name}"
        mark: OperationMark | None = getattr(function, OPERATION_MARK, None)
        if mark is None:
            remedy = "Mark it with @get, @post, @put, @patch or @delete"
            self.fault(f"{where} has no route", remedy)
            return None
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except Exception as error:  # an annotation may raise anything
            remedy = "Import the name at the top of the module, not below `if TYPE_CHECKING`"
            self.fault(f"{where} has an annotation that cannot be read: {error}", remedy)
            return None
        count = len(self.faults.faults)
        result, returned, stream, is_reply = self._result(where, function, hints)
        reader = ParameterReader(where, mark, self.catalog, self.fault, self.shape_of)
        parameters, shapes = reader.read(function, hints)
        self._mark(where, contract, mark, result, stream)
        self._key(where, mark, parameters, shapes)
        self._example(where, mark, shapes, returned)
        self.promises.problems(where, contract, mark, function)
        if len(self.faults.faults) > count:
            return None
        request = _request_type(name, parameters)
        if request is not None:
            self.shape_of(f"the request of {where}", request)
        return Operation(
            contract, name, mark, parameters, request, result,
            stream=stream, is_reply=is_reply, doc=own_doc(function),
        )  # fmt: skip

    def _result(
        self, where: str, function: types.FunctionType, hints: dict[str, Any]
    ) -> tuple[Any, Shape | None, bool, bool]:
        """The answer's type, its shape, whether it is a stream, whether a Reply."""
        if "return" not in hints:
            message = f"{where} does not say what it returns"
            self.fault(message, "Annotate the return type, `-> None` for nothing")
            return None, None, False, False
        result = hints["return"]
        stream = typing.get_origin(result) is AsyncIterator
        if stream:
            result = typing.get_args(result)[0]
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                message = f"{where} returns a stream and is `async def`"
                self.fault(message, "Write plain `def` for a stream")
        elif not inspect.iscoroutinefunction(function):
            remedy = "Operations are `async def`; streams return AsyncIterator[T]"
            self.fault(f"{where} is not `async def`", remedy)
        is_reply = typing.get_origin(result) is Reply
        if is_reply and stream:
            self.fault(f"{where} is a stream of Reply", "A stream has no headers to set; use T")
        if is_reply:
            result = typing.get_args(result)[0]
        if result is type(None) or result is None:
            return type(None), None, stream, is_reply
        return result, self.shape_of(f"the result of {where}", result), stream, is_reply

    def _mark(
        self, where: str, contract: Contract, mark: OperationMark, result: Any, stream: bool
    ) -> None:
        if not _PATH.match(mark.path):
            remedy = "Write /segments with {parameter} slots"
            self.fault(f"{where} has the path {mark.path!r}", remedy)
        if mark.status not in (200, 201, 202, 204):
            self.fault(f"{where} answers {mark.status}", "Use 200, 201, 202 or 204")
        if mark.status == 204 and result is not type(None):
            self.fault(f"{where} answers 204 and returns a value", "Return None, or use 200")
        if stream and result is type(None):
            self.fault(f"{where} is a stream of nothing", "Say what its items are")
        if stream and mark.idempotent_by:
            message = f"{where} is a stream with an idempotency key"
            self.fault(message, "Streams have no stored answer")
        if mark.timeout_s is not None and not _is_positive(mark.timeout_s):
            self.fault(
                f"{where} has timeout_s={mark.timeout_s!r}", "Use a number of seconds above 0"
            )
        allow: Any = mark.allow
        if allow is None:
            if contract.mark.public:
                remedy = 'Add allow=ANYONE, USER or scope("...")'
                self.fault(f"{where} is public and does not say who may call it", remedy)
        elif not isinstance(allow, Allow):
            remedy = 'Use ANYONE, USER or scope("...")'
            self.fault(f"{where} has allow={allow!r}", remedy)
        elif not all(map(_is_scope, allow.scopes)):
            message = f"{where} asks for the scopes {allow.scopes!r}"
            self.fault(message, "Scopes are words without spaces")

    def _key(
        self,
        where: str,
        mark: OperationMark,
        parameters: tuple[Parameter, ...],
        shapes: dict[str, Shape],
    ) -> None:
        key = mark.idempotent_by
        if key == IDEMPOTENCY_KEY and mark.allow == ANYONE:
            message = f"{where} takes the Idempotency-Key of anyone: strangers would share keys"
            self.fault(message, "Allow USER, or name a parameter in idempotent_by=")
        if key is None or key == IDEMPOTENCY_KEY:
            return
        named = next((p for p in parameters if p.name == key), None)
        if named is None or not self.catalog.is_scalar(shapes[key]):
            message = f"{where} is idempotent by {key!r}, which is no scalar parameter of it"
            self.fault(message, "Name one of its own, or use IDEMPOTENCY_KEY")
        elif not named.required:
            message = f"{where} is idempotent by {key!r}, which has a default"
            self.fault(message, "Remove the default: calls without it would share one key")

    def _example(
        self, where: str, mark: OperationMark, shapes: dict[str, Shape], returned: Shape | None
    ) -> None:
        """`example=` gives values by parameter name, and the answer as "return"."""
        for name, example in (mark.example or {}).items():
            shape = returned if name == "return" else shapes.get(name)
            if shape is None:
                message = f"the example of {where} has {name!r}, which it neither takes nor returns"
                self.fault(message, 'Use the names of its parameters, and "return"')
                continue
            try:
                wrong = misfit(json_value(example), shape, self.catalog.types)
            except (TypeError, ValueError) as error:
                self.fault(f"the example of {name} in {where} is not JSON: {error}", "Mend it")
                continue
            if wrong is not None:
                message = f"the example of {name} in {where} does not fit: {wrong}"
                self.fault(message, "Mend the example")


def _is_scope(scope: object) -> bool:
    return isinstance(scope, str) and bool(scope) and " " not in scope


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9


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
