"""Events pushed over HTTP: how a request is signed, and what an answer says of the event in it.

The signature is that of Standard Webhooks 1.0: HMAC-SHA256 over `ID.TIMESTAMP.BODY`, by a key that both
sides know. The id tells a repeat, the timestamp an old request that somebody has kept. Pure: time is
an argument.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from enum import Enum

from borough.reliability.retry_after import LONGEST_WAIT_S, retry_after_s

__all__ = ["Received", "judge_status", "read_keys", "signature_fields", "wait_asked_s"]

_PREFIX = "whsec_"
_SHORTEST_KEY, _LONGEST_KEY = 24, 64  # bytes; what the standard asks for
_REFUSED = frozenset({400, 410, 411, 413, 414, 415, 422, 431})
_AWAY = frozenset({429, 503})


class Received(Enum):
    """What became of an event at its receiver."""

    DONE = "done"
    """Taken over: it need not come again."""
    REFUSED = "refused"
    """The receiver will never take this event: to try again is useless."""
    AWAY = "away"
    """The receiver takes nothing now, which says nothing about this event."""
    FAILED = "failed"
    """Anything else: to be tried again, so many times."""


def judge_status(status: int) -> Received:
    """What an HTTP status says of the event that was sent.

    A receiver that knows the sender not any more, or does not find its path, may be on its way to
    be mended: 401, 403 and 404 are tried again. Redirections are not followed.
    """
    if 200 <= status < 300:
        return Received.DONE
    if status in _REFUSED:
        return Received.REFUSED
    return Received.AWAY if status in _AWAY else Received.FAILED


def wait_asked_s(value: str | None) -> float | None:
    """The seconds in `Retry-After`, at most five minutes; None where it holds none (a date does not count)."""
    asked_s = retry_after_s(value)
    return None if asked_s is None else min(asked_s, LONGEST_WAIT_S)


def read_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a secret, `whsec_` and base64; several, with spaces between, while one is replaced.

    Raises `ValueError` with the reason, which does not tell the secret.
    """
    keys = tuple(_key(part) for part in text.split())
    if not keys:
        raise ValueError("it is empty")
    return keys


def _key(text: str) -> bytes:
    try:
        if not text.startswith(_PREFIX):
            raise ValueError("it does not begin with whsec_")
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is not base64") from None
    if not _SHORTEST_KEY <= len(key) <= _LONGEST_KEY:
        raise ValueError(
            f"it has {len(key)} bytes, and should have {_SHORTEST_KEY} to {_LONGEST_KEY}"
        )
    return key


def signature_fields(
    keys: Sequence[bytes], event_id: str, timestamp_s: int, body: bytes
) -> list[tuple[bytes, bytes]]:
    """The header fields that prove who has sent `body`, and when; a signature for each key."""
    identity, timestamp = event_id.encode(), b"%d" % timestamp_s
    signed = b"%b.%b.%b" % (identity, timestamp, body)
    signatures = [b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256")) for key in keys]
    return [
        (b"webhook-id", identity),
        (b"webhook-timestamp", timestamp),
        (b"webhook-signature", b" ".join(signatures)),
    ]
