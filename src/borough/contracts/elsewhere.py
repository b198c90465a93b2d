"""Whether a service elsewhere offers what a contract of ours asks of it, by its OpenAPI document.

Only what a call depends on is looked at: the route, what must be sent with it, and which answer means
that it went well. Types of values are not compared. Every fault is a sentence; all come together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from msgspec import UNSET

from borough.contracts.descriptor import Descriptor, OperationDescriptor, ParameterDescriptor
from borough.contracts.shapes import RefShape, StructShape

__all__ = ["judge_elsewhere"]

_SLOT = re.compile(r"\{[^/{}]*\}")
_METHODS = ("get", "put", "post", "delete", "head", "options", "patch", "trace")
_DEEPEST = 32
Json = Mapping[str, Any]


def judge_elsewhere(
    contract: Descriptor, document: Json, base: str, given: Collection[str] = ()
) -> list[str]:
    """What the document does not offer as the contract has it; [] if it offers all.

    `base` is the path of the URL below which the service's own paths lie, and `given` are the header
    fields that are sent in any case.
    """
    version = str(document.get("openapi", ""))
    if not version.startswith("3."):
        what = "is Swagger 2" if "swagger" in document else "is no OpenAPI 3 document"
        return [f"{contract.wire_name}: it {what}"]
    offers = _Offers(document)
    prefix = _prefix(contract, offers, base)
    sent = {"authorization", "content-type", "accept", *(name.lower() for name in given)}
    faults: list[str] = []
    for operation in contract.operations:
        path = prefix + _own_path(contract, operation) or "/"
        found = offers.find(operation.method, path)
        if found is None:
            faults.append(
                f"{operation.wire_name} is {operation.method} {path}, {offers.missed(path)}"
            )
            continue
        asked = [
            *_parameters(operation, offers, found, sent),
            *_body(contract, operation, offers, found),
            *_success(operation, found),
        ]
        faults += [f"{operation.wire_name} ({operation.method} {path}) {fault}" for fault in asked]
    return faults


def _own_path(contract: Descriptor, operation: OperationDescriptor) -> str:
    """The path below the service's name."""
    return operation.path.removeprefix(f"/{contract.service}")


def _prefix(contract: Descriptor, offers: _Offers, base: str) -> str:
    """Which end of the URL's path stands in the document's paths, too: the one that fits best."""
    steps = base.strip("/").split("/") if base.strip("/") else []
    ends = ["", *("/" + "/".join(steps[-count:]) for count in range(1, len(steps) + 1))]

    def fitting(end: str) -> int:
        return sum(
            offers.find(operation.method, end + _own_path(contract, operation)) is not None
            for operation in contract.operations
        )

    return max(ends, key=fitting)


class _Offers:
    """The routes of a document, found by method and path whatever their slots are called."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._routes: dict[str, dict[str, Json]] = {}
        for path, item in _members(document.get("paths")).items():
            whole = _members(self.resolved(item))
            general = whole.get("parameters", ())
            at = self._routes.setdefault(_SLOT.sub("{}", path), {})
            for method in _METHODS:
                if method in whole:
                    operation = _members(whole[method])
                    parameters = [*general, *operation.get("parameters", ())]
                    at[method] = {**operation, "parameters": parameters}

    def find(self, method: str, path: str) -> Json | None:
        """The operation at a route."""
        return self._routes.get(_SLOT.sub("{}", path), {}).get(method.lower())

    def missed(self, path: str) -> str:
        """Why there is no such route."""
        plain = _SLOT.sub("{}", path)
        methods = self._routes.get(plain, {})
        if methods:
            return f"and it has only {', '.join(method.upper() for method in methods)} there"
        near = [known for known in self._routes if known.endswith(plain) and known != plain]
        if near:
            return f"and it has {near[0]}: the URL must end in {near[0].removesuffix(plain)}"
        return "and it has no such path"

    def resolved(self, part: Any) -> Any:
        """The part itself, behind whatever references within the document."""
        for _ in range(_DEEPEST):
            reference = _members(part).get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return part
            part = self._document
            for step in reference[2:].split("/"):
                part = _members(part).get(step.replace("~1", "/").replace("~0", "~"))
        return {}


def _members(part: Any) -> Json:
    return cast("Json", part) if isinstance(part, Mapping) else {}


def _parameters(
    operation: OperationDescriptor, offers: _Offers, found: Json, sent: Collection[str]
) -> Iterator[str]:
    ours: dict[tuple[str, str], ParameterDescriptor] = {
        (p.place, p.wire.lower() if p.place == "header" else p.wire): p
        for p in operation.parameters
        if p.place in ("query", "header", "cookie")
    }
    known: set[tuple[str, str]] = set()
    for each in found["parameters"]:
        theirs = _members(offers.resolved(each))
        place, name = str(theirs.get("in")), str(theirs.get("name"))
        plain = name.lower() if place == "header" else name
        known.add((place, plain))
        if not theirs.get("required") or place == "path" or (place == "header" and plain in sent):
            continue
        own = ours.get((place, plain))
        if own is None:
            yield f"does not send the {place} parameter {name}, which is required"
        elif not own.required and own.default in (UNSET, None):
            yield f"may leave out the {place} parameter {name}, which is required"
    for place, name in ours.keys() - known:
        if place == "query":
            yield f"sends the query parameter {name}, which is not known there"


def _body(
    contract: Descriptor, operation: OperationDescriptor, offers: _Offers, found: Json
) -> Iterator[str]:
    body = _members(offers.resolved(found.get("requestBody")))
    has_body = any(p.place in ("field", "body", "upload") for p in operation.parameters)
    if not body:
        if has_body:
            yield "sends a body, and none is taken there"
        return
    if not has_body:
        if body.get("required"):
            yield "sends no body, which is required"
        return
    content = {
        str(kind).partition(";")[0].strip(): m for kind, m in _members(body.get("content")).items()
    }
    if any(p.place == "upload" for p in operation.parameters):
        return
    media = next(
        (
            m
            for kind, m in content.items()
            if kind in ("application/json", "*/*") or kind.endswith("+json")
        ),
        None,
    )
    if media is None:
        yield f"sends JSON, and {', '.join(content) or 'nothing'} is taken there"
        return
    ours = _fields(contract, operation)
    schema = _Schema(offers, _members(media).get("schema"))
    if ours is None or schema.is_open_question:
        return
    for name in sorted(schema.required - schema.read_only):
        if name not in ours:
            yield f"does not send the field {name}, which is required"
        elif not ours[name] and name not in schema.write_only:  # which no answer has
            yield f"may leave out the field {name}, which is required"
    if schema.closed:
        for name in sorted(ours.keys() - schema.properties):
            yield f"sends the field {name}, which is not known there"


def _fields(contract: Descriptor, operation: OperationDescriptor) -> dict[str, bool] | None:
    """The members of the body, and whether each is always sent; None where it is no object."""
    whole = next((p for p in operation.parameters if p.place == "body"), None)
    if whole is None:
        fields = [p for p in operation.parameters if p.place == "field"]
        return {p.wire: p.required or p.default is not UNSET for p in fields}
    shape = contract.types[whole.shape.name] if isinstance(whole.shape, RefShape) else None
    if not isinstance(shape, StructShape):
        return None
    # A field with a default is written all the same, unless being absent means something.
    return {field.wire: not field.unset for field in shape.fields}


class _Schema:
    """What an object schema demands, through references and `allOf`."""

    def __init__(self, offers: _Offers, schema: Any) -> None:
        self.required: set[str] = set()
        self.properties: set[str] = set()
        self.read_only: set[str] = set()
        self.write_only: set[str] = set()
        self.closed = False
        self.is_open_question = False
        self._offers = offers
        self._added: set[int] = set()
        self._add(schema, 0)

    def _add(self, schema: Any, depth: int) -> None:
        part = _members(self._offers.resolved(schema))
        if id(part) in self._added:  # what says itself twice at each of thirty levels has no end
            return
        self._added.add(id(part))
        if depth > _DEEPEST or "oneOf" in part or "anyOf" in part:
            self.is_open_question = True  # which of them is meant, only a value can say
            return
        self.required.update(part.get("required", ()))
        properties = _members(part.get("properties"))
        self.properties.update(properties)
        for name, each in properties.items():
            if _members(each).get("readOnly") is True:
                self.read_only.add(name)
            if _members(each).get("writeOnly") is True:
                self.write_only.add(name)
        self.closed = self.closed or part.get("additionalProperties") is False
        for each in part.get("allOf", ()):
            self._add(each, depth + 1)


def _success(operation: OperationDescriptor, found: Json) -> Iterator[str]:
    statuses = [str(status).upper() for status in _members(found.get("responses"))]
    ours = {str(200 if operation.stream else operation.status)}
    if operation.result is None and operation.status == 200:
        ours.add("204")  # an empty 200 is sent as 204
    if not statuses or ours & set(statuses) or {"2XX", "DEFAULT"} & set(statuses):
        return
    theirs = (
        ", ".join(status for status in statuses if status.startswith("2")) or "no success at all"
    )
    yield f"is answered by {min(ours)}, and there by {theirs}"
