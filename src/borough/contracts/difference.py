"""What differs between two descriptors of a contract: its terms, operation by operation, event by event.

Everything is compared as it is on the wire. Words (docstrings, examples) are no difference, and
equal fingerprints have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import UNSET

from borough.contracts.change import Change, Flow, Kind
from borough.contracts.descriptor import (
    Descriptor,
    EventDescriptor,
    OperationDescriptor,
    ParameterDescriptor,
    ProblemDescriptor,
)
from borough.contracts.marks import Allow
from borough.contracts.operation import ParameterPlace
from borough.contracts.shape_difference import ShapeDifference
from borough.contracts.shapes import FieldShape, RefShape

__all__ = ["changes", "changes_of_event", "changes_of_operation"]

_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_PLACES: tuple[tuple[ParameterPlace, Flow], ...] = (
    ("query", "request"), ("header", "header"), ("cookie", "header"), ("upload", "request")
)  # fmt: skip
_IN_BODY = ("field", "body")

Part = TypeVar("Part", OperationDescriptor, EventDescriptor)


def changes(old: Descriptor, new: Descriptor) -> tuple[Change, ...]:
    """Every change between two descriptors of one contract.

    Raises `ValueError` for two contracts; major versions are contracts of their own.
    """
    _refuse_strangers(old, new)
    found: list[Change] = []
    facts: tuple[tuple[Kind, Any, Any], ...] = (
        ("version-changed", old.version, new.version),
        ("retention-changed", old.retains, new.retains),
        ("deprecation-changed", old.deprecated, new.deprecated),
    )
    for kind, before, after in facts:
        if before != after:
            found.append(Change(kind, old.wire_name, "terms", "", before, after))
    for name in _names(old.operations, new.operations):
        found += changes_of_operation(old, new, name)
    for name in _names(old.events, new.events):
        found += changes_of_event(old, new, name)
    return tuple(found)


def changes_of_operation(old: Descriptor, new: Descriptor, wire_name: str) -> tuple[Change, ...]:
    """The changes of one operation. Raises `ValueError` for two contracts."""
    _refuse_strangers(old, new)
    before, after = _part(old.operations, wire_name), _part(new.operations, wire_name)
    if before is None or after is None:
        return _alone(wire_name, before, after, "operation-added", "operation-removed")
    return tuple(_Operations(old, new, before, after).compared())


def changes_of_event(old: Descriptor, new: Descriptor, wire_name: str) -> tuple[Change, ...]:
    """The changes of one event. Raises `ValueError` for two contracts."""
    _refuse_strangers(old, new)
    before, after = _part(old.events, wire_name), _part(new.events, wire_name)
    if before is None or after is None:
        return _alone(wire_name, before, after, "event-added", "event-removed")
    found: list[Change] = []

    def tell(kind: Kind, one: Any, other: Any) -> None:
        found.append(Change(kind, wire_name, "terms", "", one, other))

    if before.version != after.version:
        raised = after.version > before.version
        kind: Kind = "event-version-raised" if raised else "event-version-lowered"
        tell(kind, before.version, after.version)
    if before.key != after.key:
        if before.key is None or after.key is None:
            kind = "event-key-added" if before.key is None else "event-key-removed"
        else:
            kind = "event-key-changed"
        tell(kind, before.key, after.key)
    data = ShapeDifference(wire_name, "event", old.types, new.types)
    data.compare(RefShape(name=before.type), RefShape(name=after.type), "/data")
    return (*found, *data.found)


class _Operations:
    """Two versions of one operation."""

    def __init__(
        self,
        old: Descriptor,
        new: Descriptor,
        before: OperationDescriptor,
        after: OperationDescriptor,
    ) -> None:
        self._contracts = old, new
        self._old = before
        self._new = after
        self._found: list[Change] = []

    def compared(self) -> list[Change]:
        """All changes."""
        self._terms()
        self._keys()
        self._access()
        self._path()
        moved = self._moved()
        for place, flow in _PLACES:
            values = self._values(flow)
            values.fields(
                self._fields(self._old, place),
                self._fields(self._new, place),
                f"/{place}",
                moved,
            )
            self._found += values.found
        self._body(moved)
        self._answer()
        self._problems()
        return self._found

    def _tell(self, kind: Kind, old: Any, new: Any, at: str = "") -> None:
        self._found.append(Change(kind, self._old.wire_name, "terms", at, old, new))

    def _values(self, flow: Flow) -> ShapeDifference:
        old, new = self._contracts
        return ShapeDifference(self._old.wire_name, flow, old.types, new.types)

    def _terms(self) -> None:
        old, new = self._old, self._new
        facts: tuple[tuple[Kind, Any, Any], ...] = (
            ("method-changed", old.method, new.method),
            ("status-changed", old.status, new.status),
            ("stream-changed", old.stream, new.stream),
            ("reply-changed", old.reply, new.reply),
            ("timeout-changed", old.timeout_s, new.timeout_s),
            ("deprecation-changed", old.deprecated, new.deprecated),
        )
        for kind, before, after in facts:
            if before != after:
                self._tell(kind, before, after)
        if old.idempotent != new.idempotent:
            kind = "idempotency-promised" if new.idempotent else "idempotency-dropped"
            self._tell(kind, old.idempotent, new.idempotent)

    def _keys(self) -> None:
        old, new = _key(self._old), _key(self._new)
        if old == new:
            return
        if old is None or new is None:
            kind: Kind = "key-promised" if old is None else "key-dropped"
        else:
            kind = "key-changed"
        self._tell(kind, self._old.idempotent_by, self._new.idempotent_by)

    def _access(self) -> None:
        old, new = self._old.allow, self._new.allow
        wider, narrower = _admits(new, old), _admits(old, new)
        if not (wider and narrower):
            kind: Kind = "access-narrowed" if narrower else "access-changed"
            self._tell("access-widened" if wider else kind, old, new)

    def _path(self) -> None:
        """Slots are known by their order, so they may be renamed, but not exchanged."""
        old, new = self._old, self._new
        slots, others = _SLOT.findall(old.path), _SLOT.findall(new.path)
        exchanged = any(
            name != other and (name in others or other in slots)
            for name, other in zip(slots, others, strict=False)
        )
        if _SLOT.sub("{}", old.path) != _SLOT.sub("{}", new.path) or exchanged:
            self._tell("path-changed", old.path, new.path)
            return
        values = self._values("request")
        before = {field.name: field for field in self._fields(old, "path")}
        after = {field.name: field for field in self._fields(new, "path")}
        for name, other in zip(slots, others, strict=True):
            values.field(before[name], after[other], f"/path/{name}")
        self._found += values.found

    def _moved(self) -> frozenset[str]:
        """Tell the parameters that travel elsewhere now, and return their names."""
        before = {p.name: p.place for p in self._old.parameters if p.place != "body"}
        after = {p.name: p.place for p in self._new.parameters if p.place != "body"}
        moved = [name for name in before if before[name] != after.get(name, before[name])]
        for name in moved:
            old, new = before[name], after[name]
            self._found.append(
                Change("field-moved", self._old.wire_name, "request", f"/{old}/{name}", old, new)
            )
        return frozenset(moved)

    def _fields(self, operation: OperationDescriptor, place: ParameterPlace) -> list[FieldShape]:
        return [_field(p) for p in operation.parameters if p.place == place]

    def _body(self, moved: frozenset[str]) -> None:
        old, new = self._old, self._new
        kinds = _body_kind(old), _body_kind(new)
        if kinds[0] != kinds[1] and None not in kinds:
            self._tell("body-kind-changed", *kinds, at="/request")
            return
        before, after = _body_field(old), _body_field(new)
        values = self._values("request")
        if before is None or after is None:
            listed = [[] if field is None else [field] for field in (before, after)]
            values.fields(listed[0], listed[1], "")
        else:
            if before.required != after.required:
                kind: Kind = "field-required" if after.required else "field-optional"
                values.tell(kind, "/request", before, after)
            values.compare(before.shape, after.shape, "/request", self._moved_fields(moved))
        self._found += values.found

    def _moved_fields(self, moved: frozenset[str]) -> frozenset[str]:
        """Those that have left the body or come into it; a struct may have fields of such names."""
        parameters = (*self._old.parameters, *self._new.parameters)
        return moved & {p.name for p in parameters if p.place == "field"}

    def _answer(self) -> None:
        old, new = self._old.result, self._new.result
        values = self._values("answer")
        if old is not None and new is not None:
            values.compare(old, new, "/answer")
        elif old is not None or new is not None:
            kind: Kind = "result-added" if old is None else "result-removed"
            values.tell(kind, "/answer", old, new)
        self._found += values.found

    def _problems(self) -> None:
        old, new = self._contracts
        gone = [old.problem(c) for c in self._old.raises if c not in self._new.raises]
        come = [new.problem(c) for c in self._new.raises if c not in self._old.raises]
        for problem in gone:
            other = next((each for each in come if self._is_same(problem, each)), None)
            if other is None:
                self._tell("problem-removed", problem.code, None, f"/problems/{problem.code}")
            else:
                come.remove(other)
                self._tell("problem-renamed", problem.code, other.code, f"/problems/{problem.code}")
        for problem in come:
            self._tell("problem-added", None, problem.code, f"/problems/{problem.code}")
        for code in self._old.raises:
            if code in self._new.raises:
                self._problem(old.problem(code), new.problem(code))

    def _problem(self, old: ProblemDescriptor, new: ProblemDescriptor) -> None:
        at = f"/problems/{old.code}"
        if old.status != new.status:
            self._tell("problem-status-changed", old.status, new.status, at)
        values = self._values("answer")
        values.compare(RefShape(name=old.type), RefShape(name=new.type), at)
        self._found += values.found

    def _is_same(self, old: ProblemDescriptor, new: ProblemDescriptor) -> bool:
        """Whether they carry the same under two names."""
        values = self._values("answer")
        values.compare(RefShape(name=old.type), RefShape(name=new.type), "")
        changed = [change for change in values.found if change.kind != "type-renamed"]
        return old.status == new.status and not changed


def _refuse_strangers(old: Descriptor, new: Descriptor) -> None:
    if old.wire_name != new.wire_name:
        raise ValueError(f"{old.wire_name} and {new.wire_name} are two contracts")


def _names(old: Iterable[Any], new: Iterable[Any]) -> list[str]:
    return sorted({part.wire_name for part in (*old, *new)})


def _part(parts: Iterable[Part], wire_name: str) -> Part | None:
    return next((part for part in parts if part.wire_name == wire_name), None)


def _alone(
    wire_name: str, before: Any, after: Any, added: Kind, removed: Kind
) -> tuple[Change, ...]:
    """One that at most one side has."""
    if before is None and after is None:
        return ()
    kind = added if before is None else removed
    return (Change(kind, wire_name, "terms", "", before and wire_name, after and wire_name),)


def _field(parameter: ParameterDescriptor) -> FieldShape:
    return FieldShape(
        name=parameter.name,
        wire_name=parameter.wire_name,
        shape=parameter.shape,
        required=parameter.required,
        default=parameter.default,
        unset=not parameter.required and parameter.default is UNSET,
    )


def _body_kind(operation: OperationDescriptor) -> str | None:
    if any(parameter.place == "upload" for parameter in operation.parameters):
        return "upload"
    return None if operation.request is None else "json"


def _body_field(operation: OperationDescriptor) -> FieldShape | None:
    """The JSON body as one field; it may be left out where nothing in it is required."""
    if operation.request is None:
        return None
    required = any(p.required for p in operation.parameters if p.place in _IN_BODY)
    return FieldShape(name="request", shape=operation.request, required=required)


def _key(operation: OperationDescriptor) -> str | None:
    """What the key is made of, as the wire sees it: the header, or a parameter by place and name."""
    name = operation.idempotent_by
    parameter = next((p for p in operation.parameters if p.name == name), None)
    if parameter is None:
        return name
    slots = _SLOT.findall(operation.path)
    wire = slots.index(name) if name in slots else parameter.wire
    return f"{'field' if parameter.place == 'body' else parameter.place}/{wire}"


def _admits(outer: Allow | None, inner: Allow | None) -> bool:
    """Whether at the edge everybody whom `inner` admits is admitted by `outer`."""
    if inner is None or outer is None:
        return inner is None
    if outer.who == "anyone" or inner.who == "anyone":
        return outer.who == "anyone"
    return set(outer.scopes) <= set(inner.scopes)
