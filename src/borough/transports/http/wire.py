"""The headers of the internal wire, which is the REST of the contract, and how a call reads from them.

`Borough-Timeout-Ms` is the time left (relative, so clocks need not agree). `Borough-Service` with
`Borough-Proof` names and proves the caller once per connection. `Borough-Principal` carries the end
user as base64url JSON; it counts only from a proven service, and is never taken at the edge.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from borough.errors import InvalidRequest
from borough.services.context import Principal

__all__ = [
    "IDEMPOTENCY_KEY",
    "MAX_KEY_LENGTH",
    "NDJSON",
    "PRINCIPAL",
    "PROOF",
    "SERVICE",
    "TIMEOUT_MS",
    "read_idempotency_key",
    "read_principal",
    "read_timeout_s",
    "write_principal",
]

TIMEOUT_MS = "borough-timeout-ms"
SERVICE = "borough-service"
PROOF = "borough-proof"
PRINCIPAL = "borough-principal"
IDEMPOTENCY_KEY = "idempotency-key"
NDJSON = "application/x-ndjson"
MAX_KEY_LENGTH = 255

_principal = msgspec.json.Decoder(Principal)


def read_timeout_s(value: str | None) -> float | None:
    """The time left in seconds; None where none is given. Raises `InvalidRequest`."""
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise InvalidRequest("Borough-Timeout-Ms is not a whole number of milliseconds")
    return int(value) / 1000


def read_idempotency_key(value: str | None) -> str | None:
    """The key, quoted (as the IETF draft has it) or bare. Raises `InvalidRequest` when empty or too long."""
    if value is None:
        return None
    key = value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
    if not key or len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidRequest(
            f"Idempotency-Key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        )
    return key


def write_principal(principal: Principal) -> bytes:
    """The header value for an end user."""
    return base64.urlsafe_b64encode(msgspec.json.encode(principal)).rstrip(b"=")


def read_principal(value: str | None) -> Principal | None:
    """The end user in a header value. Raises `InvalidRequest` where it cannot be read."""
    if not value:
        return None
    try:
        return _principal.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidRequest("Borough-Principal cannot be read") from None
