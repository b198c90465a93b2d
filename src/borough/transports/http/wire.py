"""The headers of the internal wire, which is the REST of the contract, and how a call reads from them.

`Borough-Timeout-Ms` is the time left (relative, so clocks need not agree). `Borough-Service` with
`Borough-Proof` names and proves the caller once per connection. `Borough-Principal` carries the end
user as base64url JSON; it counts only from a proven service, and is never taken at the edge. An edge
that forwards adds what its own connection hides: `Borough-Host` and `Borough-Client`.
"""

from __future__ import annotations

import base64
import re

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.errors import InvalidRequest
from borough.services.context import Principal

__all__ = [
    "CLIENT",
    "EDGE",
    "HOST",
    "IDEMPOTENCY_KEY",
    "MAX_KEY_LENGTH",
    "NDJSON",
    "PARTIAL",
    "PRINCIPAL",
    "PROOF",
    "SERVICE",
    "TIMEOUT_MS",
    "UNPROVEN",
    "read_client",
    "read_idempotency_key",
    "read_principal",
    "read_timeout_s",
    "write_client",
    "write_idempotency_key",
    "write_principal",
]

TIMEOUT_MS = "borough-timeout-ms"
SERVICE = "borough-service"
PROOF = "borough-proof"
PRINCIPAL = "borough-principal"
HOST = "borough-host"
CLIENT = "borough-client"
IDEMPOTENCY_KEY = "idempotency-key"
PARTIAL = "borough-partial"
"""In an answer: something below was recorded though the trace is not, so who called is recorded, too."""
UNPROVEN = "borough-unproven"
"""In a refusal: it is who calls, a service or the edge, that has not proven itself, and not the end user."""
NDJSON = "application/x-ndjson"
MAX_KEY_LENGTH = 255
EDGE = "edge"
"""Under which name the public door of a fleet proves itself; no service may have it."""

_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"|([!#-+\--:<-\[\]-~]+)')
_ESCAPED = re.compile(r'\\(["\\])')
_DIGITS = 5  # of a port
_principal = msgspec.json.Decoder(Principal)


def read_timeout_s(value: str | None) -> float | None:
    """The time left in seconds; None where none is given. Raises `InvalidRequest`."""
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidRequest("Borough-Timeout-Ms is not a whole number of milliseconds")
    return int(value) / 1000


def read_idempotency_key(value: str | None) -> str | None:
    """The key: a string of RFC 9651, as the IETF draft has it, or bare. Raises `InvalidRequest`.

    A comma or a semicolon in a bare key would be a list or a parameter, of which the draft knows none.
    """
    if value is None:
        return None
    found = _KEY.fullmatch(value)
    key = _ESCAPED.sub(r"\1", found[1] or found[2] or "") if found is not None else ""
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidRequest(
            f'Idempotency-Key must be "quoted": 1 to {MAX_KEY_LENGTH} printable ASCII characters, '
            "the quotes around them only needed for a space, comma, semicolon, quote or backslash"
        )
    return key


def write_idempotency_key(key: str) -> bytes:
    """The header value for a key."""
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", key.encode("ascii", "backslashreplace")) + b'"'


def write_client(peer: tuple[str, int]) -> bytes:
    """The header value for a client's address and port."""
    return f"{peer[0]} {peer[1]}".encode("latin-1")


def read_client(value: str | None) -> tuple[str, int]:
    """The address and port in a header value; nobody's where there is none or it cannot be read."""
    host, _, port = (value or "").partition(" ")
    return (host, int(port)) if port.isdecimal() and len(port) <= _DIGITS else ("", 0)


def write_principal(principal: Principal) -> bytes:
    """The header value for an end user."""
    return base64.urlsafe_b64encode(msgspec.json.encode(principal)).rstrip(b"=")


def read_principal(value: str | None) -> Principal | None:
    """The end user in a header value. Raises `InvalidRequest` where it cannot be read."""
    if not value:
        return None
    try:
        return _principal.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except UNREADABLE:
        raise InvalidRequest("Borough-Principal cannot be read") from None
