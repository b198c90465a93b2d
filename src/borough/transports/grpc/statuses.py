"""A problem as gRPC tells it: a code, a sentence, and a `google.rpc.Status` with the details.

In the details stand, for whoever reads which: the problem's own message (declared ones), `ErrorInfo`
with the code, `BadRequest` with each wrong field, `RetryInfo`, and the whole problem as REST has it
(RFC 9457), in a `google.api.HttpBody`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from borough.contracts.proto_names import snake
from borough.transports.grpc.methods import fields_named
from borough.transports.grpc.wire import ROOM_BYTES, in_base64, sentence_of, trailers_of
from borough.transports.http.message import Response

__all__ = ["Code", "Failure", "failure_of"]


class Code(IntEnum):
    """The status codes of gRPC that are used here."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    409: Code.FAILED_PRECONDITION,
    410: Code.NOT_FOUND,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    502: Code.UNKNOWN,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
_KEY_IN_USE = "key-in-use"
_MOST_BYTES = 4 * 1024
"""Of details; base64 makes a third more, and the sentence has what is left of a caller's limit."""
_OWN_DOMAIN = "borough"


class Failure(msgspec.Struct, frozen=True):
    """How a call ends that has no answer."""

    trailers: dict[str, str]
    is_ours: bool = False
    """Whether HTTP would answer 5xx."""


def failure_of(response: Response, own: Any = None) -> Failure:
    """What a problem, as HTTP answers it, is for gRPC; `own` is a declared problem's message."""
    body = response.body if isinstance(response.body, bytes) else b""
    document = msgspec.json.decode(body, type=dict[str, Any])
    after = next((value for name, value in response.headers if name == b"retry-after"), b"")
    retry_after_s = int(after) if after.isdigit() else None
    code = str(document["code"])
    kind = Code.ABORTED if code == _KEY_IN_USE else _code_of(response.status)
    details = [] if own is None else [own]
    details += _details(document, code, retry_after_s)
    details.append(HttpBody(content_type="application/problem+json", data=body))
    fitting = _fitting(details)
    room = ROOM_BYTES - in_base64(sum(each.ByteSize() for each in fitting))
    sentence = sentence_of(str(document["detail"]), room)
    told = Status(code=kind, message=sentence, details=fitting).SerializeToString()
    pushback_ms: int | None = None
    if kind is Code.UNAVAILABLE or document.get("retryable"):
        # A client that repeats by its own rules is told whether, and when.
        pushback_ms = (retry_after_s or 0) * 1000 if document.get("retryable") else -1
    trailers = trailers_of(kind, sentence, told, pushback_ms)
    return Failure(trailers, response.status >= 500)


def _code_of(status: int) -> Code:
    known = _CODES.get(status)
    if known is not None:
        return known
    return Code.FAILED_PRECONDITION if status < 500 else Code.UNKNOWN


def _details(document: Mapping[str, Any], code: str, retry_after_s: int | None) -> list[Any]:
    domain, _, name = code.rpartition(".")
    reason = snake(name).upper()
    found: list[Any] = [
        ErrorInfo(reason=reason, domain=domain or _OWN_DOMAIN, metadata={"code": code})
    ]
    places: Sequence[Mapping[str, str]] = document.get("errors", ())
    if places:
        violations = [
            BadRequest.FieldViolation(field=fields_named(place), description=place.get("detail"))
            for place in places
        ]
        found.append(BadRequest(field_violations=violations))
    if retry_after_s is not None:
        found.append(RetryInfo(retry_delay=Duration(seconds=retry_after_s)))
    return found


def _fitting(details: Sequence[Any]) -> list[AnyMessage]:
    """The details as far as a caller's limit for trailers reaches."""
    packed: list[AnyMessage] = []
    left = _MOST_BYTES
    for each in details:
        one = AnyMessage()
        one.Pack(each)
        if one.ByteSize() <= left:
            left -= one.ByteSize()
            packed.append(one)
    return packed
