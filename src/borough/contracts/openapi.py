"""One OpenAPI 3.1 document for any number of contracts, made from descriptors alone.

The edge refuses unknown members of a request and nobody else refuses any. A struct that travels
both ways therefore stands in the document twice: open as itself, closed as `NAME.Input`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET

from borough.contracts.descriptor import Descriptor, OperationDescriptor, ParameterDescriptor
from borough.contracts.examples import NoExample, example_arguments, example_result
from borough.contracts.json_schema import Schema, named_schema, schema_of
from borough.contracts.marks import IDEMPOTENCY_KEY
from borough.contracts.openapi_answers import (
    IF_NONE_MATCH,
    PROBLEM_SCHEMA,
    framework_responses,
    refusals,
    success,
)
from borough.contracts.openapi_links import links
from borough.contracts.shapes import Shape, StrShape, StructShape, names_used

__all__ = ["KEY_PARAMETER", "SECURITY", "openapi"]

_SLOT = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_SEGMENT = r"^[^\x00-\x1f\x7f]+$"
_PUBLIC_SEGMENT = r"^[^\x00-\x1f\x7f/\\]+$"
"""What a path can carry: at the edge no slash of either kind, whichever way it is written."""
SECURITY: Schema = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A signed token of the issuer; its `scope` claim says what the user may do.",
    },
    "internal": {
        "type": "mutualTLS",
        "description": "For services that declare the dependency, proven by certificate or, "
        "between processes of one machine, by token. Not served at the edge.",
    },
}
KEY_PARAMETER: Schema = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "A key of the caller's choice. A repeat with the same key and request gets the "
    "answer of the first run; without a key nothing is stored. A string as RFC 9651 has it; the quotes "
    "may be left out where no space, comma, semicolon, quote or backslash is in it.",
    "schema": {
        "type": "string",
        "pattern": r'^(?:"(?:[ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--:<-\[\]-~]{1,255})$',
    },
}


def openapi(
    descriptors: Sequence[Descriptor],
    *,
    title: str,
    version: str,
    public_only: bool,
    servers: Sequence[str] = (),
) -> dict[str, Any]:
    """The document. With `public_only` it has what the edge serves, else every operation."""
    document = _Document(public_only)
    for descriptor in sorted(descriptors, key=lambda d: d.wire_name):
        document.add(descriptor)
    whole: dict[str, Any] = {"openapi": "3.1.0", "info": {"title": title, "version": version}}
    if servers:
        whole["servers"] = [{"url": url} for url in servers]
    return {**whole, **document.parts()}


class _Document:
    """The document while contracts are added to it."""

    def __init__(self, public_only: bool) -> None:
        self.public_only = public_only
        self.paths: dict[str, Schema] = {}
        self.tags: list[Schema] = []
        self.schemas: dict[str, Schema] = {"Problem": PROBLEM_SCHEMA}
        self.responses: dict[str, Schema] = {}
        self.parameters: dict[str, Schema] = {}
        self.security: dict[str, Schema] = {}
        self._routes: dict[str, str] = {}

    def add(self, descriptor: Descriptor) -> None:
        """Add a contract, if it has an operation to show."""
        shown = [
            operation
            for operation in descriptor.operations
            if not self.public_only or operation.allow is not None
        ]
        if not shown:
            return
        tag: Schema = {"name": descriptor.wire_name}
        words = [descriptor.doc] if descriptor.doc else []
        if descriptor.deprecated is not None:
            words.append(f"Deprecated: {descriptor.deprecated}")
        if words:
            tag["description"] = "\n\n".join(words)
        self.tags.append(tag)
        names = _Names(descriptor, shown)
        for operation in shown:
            path, renamed = self._path(operation.path)
            item = self.paths.setdefault(path, {})
            item[operation.method.lower()] = self._operation(descriptor, operation, names, renamed)
        self._link(descriptor, shown)
        self.schemas.update(names.schemas())

    def _link(self, descriptor: Descriptor, shown: Sequence[OperationDescriptor]) -> None:
        """Say of each successful answer which operations can follow."""
        targets = [(operation, self._path(operation.path)[1]) for operation in shown]
        for operation, slots in targets:
            found = links(operation, descriptor, targets, slots)
            if found:
                path, _ = self._path(operation.path)
                responses = self.paths[path][operation.method.lower()]["responses"]
                responses[str(operation.status)]["links"] = found

    def _path(self, path: str) -> tuple[str, Mapping[str, str]]:
        """The key of a path, and the names that its slots have there.

        OpenAPI takes paths that differ in the names of their slots for one path; so do we.
        """
        known = self._routes.setdefault(_SLOT.sub("{}", path), path)
        return known, dict(zip(_SLOT.findall(path), _SLOT.findall(known), strict=True))

    def _operation(
        self,
        descriptor: Descriptor,
        operation: OperationDescriptor,
        names: _Names,
        renamed: Mapping[str, str],
    ) -> Schema:
        found: Schema = {"tags": [descriptor.wire_name], "operationId": operation.wire_name}
        found.update(_words(operation, descriptor.deprecated))
        try:
            examples = example_arguments(operation, descriptor)
        except NoExample:
            examples = dict(operation.example)
        parameters = self._parameters(operation, names, examples, renamed)
        if parameters:
            found["parameters"] = parameters
        body = _body(operation, names, examples)
        if body:
            found["requestBody"] = body
        try:
            example = example_result(operation, descriptor)
        except NoExample:
            example = UNSET
        answers = success(operation, names.answer, example)
        answers.update(refusals(operation, descriptor, names.answer))
        self.responses.update(framework_responses(answers))
        found["responses"] = dict(sorted(answers.items()))
        found["security"] = self._allowed(operation)
        return found

    def _parameters(
        self,
        operation: OperationDescriptor,
        names: _Names,
        examples: Mapping[str, Any],
        renamed: Mapping[str, str],
    ) -> list[Schema]:
        found = [
            _parameter(parameter, names, examples, renamed, public=operation.allow is not None)
            for parameter in operation.parameters
            if parameter.place in ("path", "query", "header", "cookie")
        ]
        if operation.idempotent_by == IDEMPOTENCY_KEY:
            self.parameters["IdempotencyKey"] = KEY_PARAMETER
            found.append({"$ref": "#/components/parameters/IdempotencyKey"})
        if operation.reply and operation.method == "GET":
            self.parameters["IfNoneMatch"] = IF_NONE_MATCH
            found.append({"$ref": "#/components/parameters/IfNoneMatch"})
        return found

    def _allowed(self, operation: OperationDescriptor) -> list[Schema]:
        """Security requirements; an empty list says that nobody is asked who they are."""
        if operation.allow is not None and operation.allow.who == "anyone":
            return []
        scheme = "internal" if operation.allow is None else "bearer"
        self.security[scheme] = SECURITY[scheme]
        return [{scheme: list(operation.allow.scopes) if operation.allow is not None else []}]

    def parts(self) -> dict[str, Any]:
        """What has come together."""
        components: dict[str, Any] = {
            "schemas": dict(sorted(self.schemas.items())),
            "responses": dict(sorted(self.responses.items())),
            "parameters": dict(sorted(self.parameters.items())),
            "securitySchemes": dict(sorted(self.security.items())),
        }
        return {
            "tags": self.tags,
            "paths": dict(sorted(self.paths.items())),
            "components": {name: part for name, part in components.items() if part},
        }


class _Names:
    """Under which names a contract's types stand, and which of them stand there twice."""

    def __init__(self, descriptor: Descriptor, shown: Sequence[OperationDescriptor]) -> None:
        self.descriptor = descriptor
        types = descriptor.types
        asked: list[Shape] = []
        answered: list[Shape] = []
        for operation in shown:
            asked += [p.shape for p in operation.parameters if p.place not in ("field", "body")]
            asked += [operation.request] if operation.request is not None else []
            answered += [operation.result] if operation.result is not None else []
        raised = {code for operation in shown for code in operation.raises}
        for problem in descriptor.problems:
            if problem.code in raised:
                struct = types[problem.type]
                assert isinstance(struct, StructShape)
                answered += [field.shape for field in struct.fields]
        self.asked = names_used(types, *asked)
        self.answered = names_used(types, *answered)

    def answer(self, name: str) -> str:
        """The reference to a type in an answer."""
        return f"#/components/schemas/{self.descriptor.wire_name}.{name}"

    def request(self, name: str) -> str:
        """The reference to a type in a request."""
        twice = isinstance(self.descriptor.types[name], StructShape) and name in self.answered
        return self.answer(name) + (".Input" if twice else "")

    def schemas(self) -> dict[str, Schema]:
        """Every type that is referred to, by its name in the document."""
        found: dict[str, Schema] = {}
        types = self.descriptor.types
        for name in sorted(self.answered):
            found[_key(self.answer(name))] = named_schema(name, types[name], self.answer)
        for name in sorted(self.asked):
            key = _key(self.request(name))
            if key not in found:
                found[key] = named_schema(name, types[name], self.request, closed=True)
        return found


def _key(reference: str) -> str:
    return reference.rpartition("/")[2]


def _words(operation: OperationDescriptor, contract_deprecated: str | None) -> Schema:
    """Summary, description and deprecation."""
    summary, _, rest = operation.doc.partition("\n")
    paragraphs = [rest.strip()] if rest.strip() else []
    key = operation.idempotent_by
    if key is not None and key != IDEMPOTENCY_KEY:
        paragraphs.append(
            f"Idempotent by `{key}`: a repeat gets the answer of the first run, and the same "
            f"`{key}` with another request is refused."
        )
    deprecated = operation.deprecated or contract_deprecated
    if deprecated is not None:
        paragraphs.append(f"Deprecated: {deprecated}")
    found: Schema = {}
    if summary:
        found["summary"] = summary
    if paragraphs:
        found["description"] = "\n\n".join(paragraphs)
    if deprecated is not None:
        found["deprecated"] = True
    return found


def _parameter(
    parameter: ParameterDescriptor,
    names: _Names,
    examples: Mapping[str, Any],
    renamed: Mapping[str, str],
    *,
    public: bool,
) -> Schema:
    schema = schema_of(parameter.shape, names.request)
    if parameter.place == "path" and isinstance(parameter.shape, StrShape):
        schema = _segment(schema, _PUBLIC_SEGMENT if public else _SEGMENT)
    if parameter.default is not UNSET:
        schema["default"] = parameter.default
    found: Schema = {
        "name": renamed.get(parameter.name, parameter.wire)
        if parameter.place == "path"
        else parameter.wire,
        "in": parameter.place,
        "required": parameter.required,
        "schema": schema,
    }
    description = schema.pop("description", "")
    if description:
        found["description"] = description
    example = examples.get(parameter.name)
    if example is not None:
        found["example"] = example
    return found


def _segment(schema: Schema, pattern: str) -> Schema:
    """The schema of text that stands in a path, which cannot carry everything."""
    found = {
        **schema,
        "minLength": max(1, schema.get("minLength", 1)),
        "not": {"enum": [".", ".."]},
    }
    if "pattern" in schema:
        return {**found, "allOf": [{"pattern": pattern}]}
    return {**found, "pattern": pattern}


def _body(operation: OperationDescriptor, names: _Names, examples: Mapping[str, Any]) -> Schema:
    places = {parameter.place: parameter for parameter in operation.parameters}
    if "upload" in places:
        upload = schema_of(places["upload"].shape, names.request)
        kept = {word: upload[word] for word in ("description",) if word in upload}
        content: Schema = {"schema": {"type": "string", "format": "binary"}}
        return {**kept, "required": True, "content": {"application/octet-stream": content}}
    if operation.request is None:
        return {}
    media: Schema = {"schema": schema_of(operation.request, names.request)}
    fields = [p for p in operation.parameters if p.place == "field"]
    if "body" in places:
        example = examples.get(places["body"].name, UNSET)
    else:
        given = {p.wire: examples[p.name] for p in fields if p.name in examples}
        example = given if all(p.wire in given for p in fields if p.required) else UNSET
    if example is not UNSET:
        media["example"] = example
    required = "body" in places or any(p.required for p in fields)
    return {"required": required, "content": {"application/json": media}}
