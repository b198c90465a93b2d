"""The problems and events of a contract: what is wrong with them; events bound to their names."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator
from typing import Any

from msgspec import inspect as native

from borough.contracts.catalog import NOTHING, Catalog
from borough.contracts.marks import OperationMark
from borough.contracts.operation import BoundEvent, Contract
from borough.contracts.portable import is_key
from borough.contracts.problem import RESERVED_MEMBERS, Problem, wire_names
from borough.contracts.shapes import RefShape, Shape, StrShape, StructShape, heights
from borough.contracts.source import FaultList
from borough.contracts.struct import Event
from borough.contracts.upcasting import judge_versions

__all__ = ["PromiseReader"]

_EXCEPTION_NAMES = frozenset({"add_note", "args", "payload", "values", "with_traceback"})
"""Attributes of a problem in code, which a field of that name would hide."""


class PromiseReader:
    """Reads the types, problems and events of one contract into its catalog."""

    def __init__(self, catalog: Catalog, faults: FaultList) -> None:
        self.catalog = catalog
        self.faults = faults
        self._declared: dict[Any, Any] = {}
        self._judged: dict[str, type[Problem]] = {}

    def shape_of(self, what: str, kind: Any, at: Any) -> Shape:
        """The shape of a type. Its faults stand at the class that has them, else at `at`."""
        if isinstance(kind, typing.TypeVar):
            self.faults.add(f"{what} is the type variable {kind}", "Say which type it is", at)
            return NOTHING
        before = len(self.catalog.faults)
        shape = self.catalog.add(kind)
        for fault in self.catalog.faults[before:]:
            if fault.owner is None:
                self.faults.add(f"{what}: {fault.message}", fault.remedy, at)
                continue
            # A generated class stands where the class it was generated for stands.
            owner = self._declared.get(fault.owner, fault.owner)
            whole = owner.__name__ + (f".{fault.field}" if fault.field else "")
            self.faults.add(f"{whole}: {fault.message}", fault.remedy, owner, fault.field)
        return shape

    def problems(
        self, where: str, contract: Contract, mark: OperationMark, function: types.FunctionType
    ) -> None:
        """Judge what an operation raises; each problem once per contract."""
        seen: list[Any] = []
        raised: tuple[Any, ...] = mark.raises
        for problem in raised:
            if not (isinstance(problem, type) and issubclass(problem, Problem)):
                message = f"{where} raises {problem!r}, which is no Problem"
                self.faults.add(message, "Inherit it from borough.Problem", function)
                continue
            name = problem.__name__
            if problem is Problem:
                message = f"{where} raises Problem itself"
                self.faults.add(message, "Declare a class of it, so that it has a name", function)
            elif problem in seen:
                self.faults.add(f"{where} raises {name} twice", "Name it once", function)
            elif self._judged.setdefault(name, problem) is not problem:
                message = f"{where} raises another problem named {name}"
                remedy = f"Rename one; both would be {contract.service}.{name}"
                self.faults.add(message, remedy, function)
            elif problem.payload not in self._declared:
                self._problem(problem)
            seen.append(problem)

    def _problem(self, problem: type[Problem]) -> None:
        name = problem.__name__
        self._declared[problem.payload] = problem
        status: Any = problem.status
        if not isinstance(status, int) or not 400 <= status <= 599:
            message = f"problem {name} has status {status!r}"
            self.faults.add(message, "Use 400 to 599", problem)
        fields = dict(wire_names(problem))
        title: Any = problem.title
        if "title" not in fields and not callable(title):
            message = f"problem {name} has a `title` of its own"
            self.faults.add(message, "Make it the first line of the docstring", problem)
        for field, wire in sorted(fields.items()):
            for used in sorted({field, wire} & (RESERVED_MEMBERS - {"detail"})):
                message = f"problem {name} has a field {used!r}, which RFC 9457 or Borough uses"
                self.faults.add(message, "Rename it", problem, field)
        for field in sorted(fields.keys() & _EXCEPTION_NAMES):
            message = f"problem {name} has a field {field!r}, which every exception has"
            self.faults.add(message, "Rename it", problem, field)
        shape = self.shape_of(f"problem {name}", problem.payload, problem)
        struct = self.catalog.types.get(shape.name) if isinstance(shape, RefShape) else None
        for declared in struct.fields if isinstance(struct, StructShape) else ():
            if declared.wire == "detail" and not isinstance(declared.shape, StrShape):
                message = f"problem {name} has a `detail` that is not str"
                self.faults.add(message, "Make it str, or rename it", problem, "detail")

    def events(self, contract: Contract) -> Iterator[BoundEvent]:
        """The events of the contract, judged and bound to their wire names."""
        seen: list[Any] = []
        published: tuple[Any, ...] = contract.mark.publishes
        for event in published:
            if not (isinstance(event, type) and issubclass(event, Event)):
                message = f"{contract.name} publishes {event!r}, which is no Event"
                self.faults.add(message, "Inherit it from borough.Event", contract.cls)
            elif event is Event:
                message = f"{contract.name} publishes Event itself"
                remedy = "Declare a class of it, so that it has a name"
                self.faults.add(message, remedy, contract.cls)
            elif event in seen:
                message = f"{contract.name} publishes {event.__name__} twice"
                self.faults.add(message, "Name it once", contract.cls)
            else:
                for message, remedy, at in judge_versions(event):
                    self.faults.add(message, remedy, at)
                wire_name = f"{contract.wire_name}.{event.__name__}"
                yield BoundEvent(event, wire_name, contract.wire_name, self._key(event))
            seen.append(event)

    def _key(self, event: type[Event]) -> str | None:
        """The name in code of the field that keeps the event's order."""
        if self.shape_of(f"event {event.__name__}", event, event) is NOTHING:
            return None
        found = native.type_info(event)
        while isinstance(found, native.Metadata):
            found = found.type
        keys: list[str] = []
        struct = self.catalog.types[event.__name__]
        assert isinstance(found, native.StructType)
        assert isinstance(struct, StructShape)
        shapes = {field.name: field.shape for field in struct.fields}
        for field in found.fields:
            if is_key(field.type):
                keys.append(field.name)
            elif _has_key(field.type):
                message = f"the key {field.name} of event {event.__name__} may be null"
                self.faults.add(message, "An event without a key has no order", event, field.name)
        for name in keys:
            if name in shapes and not self.catalog.is_scalar(shapes[name]):
                message = f"the key {name} of event {event.__name__} is no single value"
                self.faults.add(message, "Use a str, int, UUID or enum", event, name)
        if len(keys) > 1:
            message = f"event {event.__name__} has {len(keys)} keys"
            self.faults.add(message, "Mark one field with Key[...]", event)
        return keys[0] if keys else None

    def endless(self) -> None:
        """Fault types of which no value can ever be made, for each one needs another."""
        for name, height in heights(self.catalog.types).items():
            if math.isinf(height):
                cls = self.catalog.classes[name]
                owner = self._declared.get(cls, typing.get_origin(cls) or cls)
                remedy = "Make a field optional, or a tuple"
                self.faults.add(f"{name} contains itself without end", remedy, owner)


def _has_key(found: native.Type) -> bool:
    """Whether there is a key below `| None`, where it does not count."""
    while isinstance(found, native.Metadata):
        found = found.type
    return isinstance(found, native.UnionType) and any(is_key(member) for member in found.types)
