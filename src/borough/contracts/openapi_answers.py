"""What an operation can answer, as OpenAPI responses: success, declared problems, our own.

Problems are RFC 9457 documents told apart by `code`; of several with one status, one comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from borough.contracts.descriptor import Descriptor, OperationDescriptor, ProblemDescriptor
from borough.contracts.examples import NoExample, example_problem
from borough.contracts.json_schema import Refer, Schema, schema_of, struct_schema
from borough.contracts.shapes import StructShape
from borough.errors import (
    CallError,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    KeyInUse,
    KeyReused,
    ServiceFailure,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)

__all__ = ["IF_NONE_MATCH", "PROBLEM_SCHEMA", "framework_responses", "refusals", "success"]

_PROBLEM = "application/problem+json"
_PROBLEM_REF: Schema = {"$ref": "#/components/schemas/Problem"}
_RESPONSES = "#/components/responses/"

PROBLEM_SCHEMA: Schema = {
    "title": "Problem",
    "description": "A problem document (RFC 9457). `code` is stable, texts are for people.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string"},
        "trace_id": {"type": "string", "description": "Names the trace of the call."},
        "retryable": {
            "type": "boolean",
            "description": "Whether the same call may be sent again: the handler did not run.",
        },
        "errors": {
            "type": "array",
            "description": "Each place of the request that is wrong.",
            "items": {
                "type": "object",
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901)."},
                    "parameter": {"type": "string"},
                },
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}

IF_NONE_MATCH: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the answer that the caller has; if it is current, 304.",
    "schema": {"type": "string"},
}

_RETRY_AFTER: Schema = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
_WITH_RETRY_AFTER = (KeyInUse, TooManyRequests, Unavailable)


def success(operation: OperationDescriptor, refer: Refer, example: Any) -> dict[str, Schema]:
    """The answers of an operation that went well, by status."""
    if operation.stream:
        return {"200": _stream(operation, refer, example)}
    if operation.result is None:
        # An empty 200 is sent as 204, save where it may carry headers.
        empty = operation.status == 200 and not operation.reply
        status = "204" if empty else str(operation.status)
        return {status: _with_headers(operation, {"description": "Done."})}
    media: Schema = {"schema": schema_of(operation.result, refer)}
    if example is not UNSET:
        media["example"] = example
    answer: Schema = {"description": "The answer.", "content": {"application/json": media}}
    found = {str(operation.status): _with_headers(operation, answer)}
    if operation.reply and operation.method == "GET":
        found["304"] = _with_headers(operation, {"description": "The caller has the current one."})
    return found


def _with_headers(operation: OperationDescriptor, answer: Schema) -> Schema:
    if not operation.reply:
        return answer
    etag = {"description": "Names this state of the answer.", "schema": {"type": "string"}}
    cookie = {"description": "Cookies that the service sets.", "schema": {"type": "string"}}
    return {**answer, "headers": {"ETag": etag, "Set-Cookie": cookie}}


def _stream(operation: OperationDescriptor, refer: Refer, example: Any) -> Schema:
    assert operation.result is not None
    lines = [
        _line("item", schema_of(operation.result, refer)),
        _line("problem", _PROBLEM_REF, retry_after_s={"type": "integer", "minimum": 1}),
        _line("end", {"const": True}),
    ]
    media: Schema = {"schema": {"oneOf": lines}}
    if example is not UNSET:
        media["example"] = {"item": example}
    return {
        "description": "A stream: one JSON object per line, of which the schema describes one. "
        "Any number of `item`, then `end` or a `problem`; without either the stream has failed.",
        "content": {"application/x-ndjson": media},
    }


def _line(name: str, schema: Schema, **beside: Schema) -> Schema:
    return {"type": "object", "properties": {name: schema, **beside}, "required": [name]}


def refusals(
    operation: OperationDescriptor, descriptor: Descriptor, refer: Refer
) -> dict[str, Schema]:
    """The problems of an operation by status, its own and the framework's."""
    by_status: dict[int, list[type[CallError] | ProblemDescriptor]] = {}
    for error in _framework_errors(operation):
        by_status.setdefault(error.status, []).append(error)
    for code in operation.raises:
        problem = descriptor.problem(code)
        by_status.setdefault(problem.status, []).append(problem)
    return {
        str(status): _refusal(causes, descriptor, refer)
        for status, causes in sorted(by_status.items())
    }


def _framework_errors(operation: OperationDescriptor) -> list[type[CallError]]:
    """What may go wrong whatever the contract says."""
    found: list[type[CallError]] = [InvalidRequest]
    if operation.allow is None:
        found += [Unauthenticated, Forbidden]
    else:
        found.append(TooManyRequests)
        if operation.allow.who == "user":
            found.append(Unauthenticated)
        if operation.allow.scopes:
            found.append(Forbidden)
        if any(each.place in ("field", "body", "upload") for each in operation.parameters):
            found.append(UnsupportedMediaType)
    if operation.method not in ("GET", "DELETE"):
        found.append(TooLarge)
    if operation.idempotent_by is not None:
        found += [KeyInUse, KeyReused]
    return [*found, ServiceFailure, Unavailable, DeadlineExceeded]


def _refusal(
    causes: list[type[CallError] | ProblemDescriptor], descriptor: Descriptor, refer: Refer
) -> Schema:
    if len(causes) == 1 and isinstance(causes[0], type):
        return {"$ref": _RESPONSES + causes[0].__name__}
    schemas: list[Schema] = []
    examples: dict[str, Schema] = {}
    titles: list[str] = []
    for cause in causes:
        if isinstance(cause, ProblemDescriptor):
            schemas.append(_problem_schema(cause, descriptor, refer))
            titles.append(cause.title)
            try:
                examples[cause.code] = {"value": example_problem(cause, descriptor)}
            except NoExample:
                continue
        else:
            schemas.append(_error_schema(cause))
            titles.append(cause.title)
            examples[cause.code] = {"value": _error_example(cause)}
    media: Schema = {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}
    if examples:
        media["examples"] = examples
    description = "; or: ".join(title.removesuffix(".") for title in titles) + "."
    found: Schema = {"description": description, "content": {_PROBLEM: media}}
    if any(cause in _WITH_RETRY_AFTER for cause in causes):
        found["headers"] = _RETRY_AFTER
    return found


def _problem_schema(problem: ProblemDescriptor, descriptor: Descriptor, refer: Refer) -> Schema:
    """RFC 9457 members with the fields that the problem declares."""
    struct = descriptor.types[problem.type]
    assert isinstance(struct, StructShape)
    own = struct_schema(struct, refer)
    head: Schema = {"code": {"const": problem.code}, "status": {"const": problem.status}}
    own["properties"] = {**head, **own["properties"]}
    own["required"] = ["code", "status", *own.get("required", ())]
    found: Schema = {"title": problem.type, "allOf": [_PROBLEM_REF, own]}
    if problem.doc:
        found["description"] = problem.doc
    return found


def _error_schema(error: type[CallError]) -> Schema:
    head = {"code": {"const": error.code}, "status": {"const": error.status}}
    own: Schema = {"type": "object", "properties": head, "required": ["code", "status"]}
    return {"title": error.__name__, "allOf": [_PROBLEM_REF, own]}


def _error_example(error: type[CallError]) -> dict[str, Any]:
    return {
        "type": f"urn:borough:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.title,
        "code": error.code,
        "retryable": error.retryable,
    }


_SHARED: dict[str, type[CallError]] = {
    error.__name__: error
    for error in (
        DeadlineExceeded,
        Forbidden,
        InvalidRequest,
        KeyInUse,
        KeyReused,
        ServiceFailure,
        TooLarge,
        TooManyRequests,
        Unauthenticated,
        Unavailable,
        UnsupportedMediaType,
    )
}


def framework_responses(answers: Mapping[str, Schema]) -> dict[str, Schema]:
    """The shared responses that these answers refer to, by name."""
    found: dict[str, Schema] = {}
    for answer in answers.values():
        name = answer.get("$ref", "").removeprefix(_RESPONSES)
        if name:
            error = _SHARED[name]
            media = {"schema": _error_schema(error), "example": _error_example(error)}
            found[name] = {"description": f"{error.title}.", "content": {_PROBLEM: media}}
            if error in _WITH_RETRY_AFTER:
                found[name]["headers"] = _RETRY_AFTER
    return found
