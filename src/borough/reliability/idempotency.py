"""What a call under an idempotency key gets: the stored answer, a refusal, or its run.

Only a stored answer binds the key to a request. A running call holds a mark, leased for its
remaining time, so that a crash frees the key; whoever stores an answer must still own the mark.
A mark beyond the longest one was written before a clock was set back, and counts as run out.

A request may hold what must not be kept, such as a card's number: only a salted hash of it is stored.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

import msgspec

from borough.errors import KeyInUse, KeyReused

__all__ = [
    "LONGEST_MARK_S",
    "SALT_LENGTH",
    "Marked",
    "StoredAnswer",
    "decide",
    "fingerprint",
    "fits",
    "lease_s",
]

LONGEST_MARK_S = 3600.0
"""How long a mark holds its key at most, however late the deadline of its call."""

_CLOCKS_APART_S = 60.0
"""How much earlier it may be for another process than for the one that takes a mark."""

SALT_LENGTH = 16
_HASHED = b"\x01"  # no JSON begins with it: earlier versions stored the request itself


class StoredAnswer(msgspec.Struct, frozen=True):
    """What an earlier run answered: `kind` says whether `answer` encodes a value or a problem."""

    kind: Literal["value", "problem"]
    answer: bytes
    fingerprint: bytes


class Marked(msgspec.Struct, frozen=True):
    """Who runs a call under a key, and until when (seconds since 1970)."""

    owner: str
    until: float


def fingerprint(request: bytes, salt: bytes) -> bytes:
    """What is stored of a request: enough to know it again, too little to read it."""
    return _HASHED + salt + hashlib.blake2b(request, salt=salt, digest_size=32).digest()


def fits(stored: bytes, request: bytes) -> bool:
    """Whether a stored fingerprint is that of this request."""
    if not stored.startswith(_HASHED):
        return stored == request
    salt = stored[len(_HASHED) : len(_HASHED) + SALT_LENGTH]
    return hmac.compare_digest(stored, fingerprint(request, salt))


def lease_s(left_s: float) -> float:
    """For how long a call takes its mark that has so much time left.

    It stays clear of the longest time, or it would be beyond that for who has an earlier time: a call of an hour
    holds no key in its last minute.
    """
    return min(max(left_s, 0.0), LONGEST_MARK_S - _CLOCKS_APART_S)


def decide(
    stored: StoredAnswer | None, marked: Marked | None, request: bytes, now: float
) -> StoredAnswer | None:
    """The answer to replay, or None where the call may run and take the mark over.

    Raises `KeyReused` where the key has answered another request, `KeyInUse` while another run
    holds the mark.
    """
    if stored is not None:
        if not fits(stored.fingerprint, request):
            raise KeyReused()
        return stored
    if marked is not None and now < marked.until <= now + LONGEST_MARK_S:
        raise KeyInUse(retry_after_s=max(0.0, marked.until - now))
    return None
