"""From an operation's signature to its parameters: where each travels, and what is wrong with it.

Names in the path are path parameters; for GET and DELETE the rest is the query; otherwise a sole
remaining Struct is the body, and anything else an object keyed by parameter name.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from borough.contracts.catalog import NOTHING, Catalog
from borough.contracts.marks import OperationMark, Place
from borough.contracts.operation import REQUIRED, Parameter, ParameterPlace
from borough.contracts.portable import marks_in, may_be_unset
from borough.contracts.shapes import (
    ArrayShape,
    BytesShape,
    OptionalShape,
    RefShape,
    Shape,
    StructShape,
)

__all__ = ["ParameterReader"]

_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TAKEN_HEADERS = frozenset(
    {
        *("accept", "authorization", "connection", "content-length", "content-type", "cookie"),
        *("expect", "host", "idempotency-key", "te", "traceparent", "tracestate", "trailer"),
        *("transfer-encoding", "upgrade"),
    }
)
"""Headers that HTTP or the framework gives a meaning of their own."""

_Fault = Callable[[str, str], None]


class _Draft(msgspec.Struct):
    """A parameter on the way: read, but not placed yet."""

    name: str
    kind: Any
    default: Any
    mark: Place | None
    shape: Shape


class ParameterReader:
    """Reads the parameters of one operation; `where` names it in faults."""

    def __init__(
        self,
        where: str,
        mark: OperationMark,
        catalog: Catalog,
        fault: _Fault,
        shape_of: Callable[[str, Any], Shape],
    ) -> None:
        self.where = where
        self.mark = mark
        self.catalog = catalog
        self.fault = fault
        self.shape_of = shape_of
        self.slots = _SLOT.findall(mark.path)
        self.queries = mark.method in ("GET", "DELETE")

    def read(
        self, function: types.FunctionType, hints: dict[str, Any]
    ) -> tuple[tuple[Parameter, ...], dict[str, Shape]]:
        """The parameters in their order, and the shape of each."""
        signature = list(inspect.signature(function).parameters.values())
        if not signature or signature[0].name != "self":
            self.fault(f"{self.where} does not take self", "Write `self` as its first parameter")
        else:
            del signature[0]
        drafts = [d for parameter in signature if (d := self._draft(parameter, hints)) is not None]
        names = {parameter.name for parameter in signature}
        for slot in sorted(set(self.slots)):
            if slot not in names:
                message = f"{self.where} has {{{slot}}} in its path and no such parameter"
                self.fault(message, f"Add the parameter {slot}")
            if self.slots.count(slot) > 1:
                self.fault(f"{self.where} has {{{slot}}} twice in its path", "Rename one of them")
        loose = [draft for draft in drafts if draft.mark is None and draft.name not in self.slots]
        sole = len(loose) == 1 and len(drafts) == len(names) and self._is_struct(loose[0].shape)
        found = tuple(self._placed(draft, sole) for draft in drafts)
        self._agree(found)
        return found, {draft.name: draft.shape for draft in drafts}

    def _draft(self, parameter: inspect.Parameter, hints: dict[str, Any]) -> _Draft | None:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            self.fault(f"{self.where} takes *{name}", "Name every parameter")
            return None
        if name not in hints:
            self.fault(f"parameter {name} of {self.where} has no type", "Annotate it")
            return None
        shape = self.shape_of(f"parameter {name} of {self.where}", hints[name])
        if shape is NOTHING:
            return None
        places = [mark for mark in marks_in(hints[name]) if isinstance(mark, Place)]
        if len(places) > 1:
            self.fault(
                f"parameter {name} of {self.where} has {len(places)} places", "Keep one of them"
            )
        default = REQUIRED if parameter.default is parameter.empty else parameter.default
        return _Draft(name, hints[name], default, places[0] if places else None, shape)

    def _placed(self, draft: _Draft, sole: bool) -> Parameter:
        place: ParameterPlace
        if draft.name in self.slots:
            place = "path"
        elif draft.mark is not None:
            place = draft.mark.kind
        elif self.queries:
            place = "query"
        else:
            place = "body" if sole else "field"
        wire_name = (draft.mark.name if draft.mark is not None else "") or draft.name
        self._default(draft, place)
        self._fits(draft, place, wire_name)
        return Parameter(draft.name, place, wire_name, draft.kind, draft.default)

    def _default(self, draft: _Draft, place: ParameterPlace) -> None:
        what = f"parameter {draft.name} of {self.where}"
        may_be_absent = may_be_unset(draft.kind)
        if place == "body" and may_be_absent:
            message = f"{what} may be Unset, and is the body, which is always there"
            self.fault(message, "Remove Unset; the fields of the struct may have it")
        elif place != "field" and may_be_absent:
            self.fault(f"{what} may be Unset in the {place}", "Unset has a meaning in a body only")
        elif may_be_absent != (draft.default is UNSET):
            message = f"{what}: Unset in the type and UNSET as default belong together"
            self.fault(message, "Use both")
        if draft.default is REQUIRED or draft.default is UNSET:
            return
        if place in ("path", "body", "upload"):
            self.fault(f"{what} has a default, and a {place} is always there", "Remove the default")
        elif isinstance(draft.default, (list, dict, set, bytearray)):
            message = (
                f"the default of {draft.name} in {self.where} can be changed by whoever gets it"
            )
            self.fault(message, "Use a tuple, or None")
        else:
            for fault in self.catalog.default_faults(draft.default, draft.shape):
                self.fault(f"{what}: {fault.message}", fault.remedy)

    def _fits(self, draft: _Draft, place: ParameterPlace, wire_name: str) -> None:
        what = f"{place} parameter {draft.name} of {self.where}"
        shape = draft.shape
        if place == "path" and not self._is_scalar(shape):
            self.fault(f"{what} is no single value", "Use a str, int, UUID or enum")
        elif place == "upload" and not isinstance(shape, BytesShape):
            self.fault(f"{what} is not bytes", "Annotate it as `Upload`")
        elif place in ("query", "header", "cookie"):
            self._is_flat(what, draft, lists=place == "query")
        if place not in ("header", "cookie"):
            return
        if not _TOKEN.match(wire_name):
            self.fault(f"{what} has the name {wire_name!r}", "Use letters, digits and -")
        elif place == "header" and wire_name.lower() in _TAKEN_HEADERS:
            self.fault(
                f"{what} is the header {wire_name}, which has a meaning already", "Rename it"
            )

    def _is_flat(self, what: str, draft: _Draft, *, lists: bool) -> None:
        """A scalar, an optional one, or (in a query) a tuple of scalars.

        What cannot be written is left out by the caller, so that must be what the default means.
        """
        shape, default = draft.shape, draft.default
        if isinstance(shape, OptionalShape) and self._is_scalar(shape.item):
            if default is not None:
                message = f"{what} may be null, which cannot be written there"
                self.fault(message, "Give it the default None")
        elif lists and isinstance(shape, ArrayShape) and self._is_scalar(shape.item):
            if default != () and not isinstance(default, (list, dict, set, bytearray)):
                message = f"{what} may be empty, which cannot be written there"
                self.fault(message, "Give it the default ()")
        elif not self._is_scalar(shape):
            tuples = " or tuples of them (default ())" if lists else ""
            self.fault(f"{what} is no single value", f"Use scalars{tuples}, or POST a body")

    def _agree(self, found: tuple[Parameter, ...]) -> None:
        """What no parameter can have wrong alone."""
        uploads = [p for p in found if p.place == "upload"]
        if uploads and any(p.place in ("field", "body") for p in found):
            message = f"{self.where} has an upload and other body parameters"
            self.fault(message, "Move them to the path, headers or cookies")
        if len(uploads) > 1:
            self.fault(f"{self.where} has two uploads", "Use two operations")
        if uploads and self.queries:
            self.fault(f"{self.where} is a {self.mark.method} with an upload", "Use @put or @post")
        seen: set[tuple[str, str]] = set()
        for parameter in found:
            name = parameter.wire_name.lower()
            if parameter.place in ("header", "cookie") and (parameter.place, name) in seen:
                message = f"{self.where} takes the {parameter.place} {parameter.wire_name} twice"
                self.fault(message, "Keep one of them")
            seen.add((parameter.place, name))

    def _is_struct(self, shape: Shape) -> bool:
        named = self.catalog.types.get(shape.name) if isinstance(shape, RefShape) else None
        return not self.queries and isinstance(named, StructShape)

    def _is_scalar(self, shape: Shape) -> bool:
        return self.catalog.is_scalar(shape)
