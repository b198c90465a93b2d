"""What a public body may call itself. A browser sends forms and plain text to any site unasked; it
asks first (CORS) before it sends JSON. It must come as it is: a compressed one is refused.
"""

from __future__ import annotations

from borough.contracts.operation import Operation
from borough.errors import UnsupportedMediaType

__all__ = ["JSON_BODY", "UPLOADED_BODY", "check_coding", "check_media", "media_of"]

JSON_BODY = "application/json"
UPLOADED_BODY = "application/octet-stream"
_CODING = "content-encoding"
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


def media_of(operation: Operation) -> str | None:
    """What a request of this operation carries; None where it has no body."""
    if any(parameter.place == "upload" for parameter in operation.parameters):
        return UPLOADED_BODY
    return JSON_BODY if operation.request is not None else None


def check_media(wanted: str, given: str | None, body: bytes) -> None:
    """Raise `UnsupportedMediaType` for JSON under another name, and for an upload in a form.

    An upload may be of any kind, or say none: the operation knows what it asks for.
    """
    kind = (given or "").partition(";")[0].strip().lower()
    if wanted == UPLOADED_BODY:
        if kind in _FORMS:
            raise UnsupportedMediaType(
                f"The upload came as {kind}; send the bytes themselves as {UPLOADED_BODY}"
            )
    elif kind != JSON_BODY and not (kind.startswith("application/") and kind.endswith("+json")):
        if kind:
            raise UnsupportedMediaType(
                f"The body came as {kind}; send it with Content-Type: {JSON_BODY}"
            )
        if body:
            raise UnsupportedMediaType(
                f"The body does not say what it is; send it with Content-Type: {JSON_BODY}"
            )


def check_coding(operation: Operation, given: str | None) -> None:
    """Raise `UnsupportedMediaType` for a compressed body: nobody here would unpack it.

    An operation that takes the field as a parameter deals with it.
    """
    coding = (given or "").strip().lower()
    if coding in ("", "identity"):
        return
    if not any(
        parameter.place == "header" and parameter.wire_name.lower() == _CODING
        for parameter in operation.parameters
    ):
        raise UnsupportedMediaType(
            f"The body came in the coding {coding}; send it as it is, without Content-Encoding"
        )
