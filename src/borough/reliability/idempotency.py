"""What a call under an idempotency key gets: the stored answer, a refusal, or its run.

Only a stored answer binds the key to a request. A running call holds a mark, leased for its
remaining time, so that a crash frees the key; whoever stores an answer must still own the mark.
A mark beyond the longest one was written before a clock was set back, and counts as run out.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from borough.errors import KeyInUse, KeyReused

__all__ = ["LONGEST_MARK_S", "Marked", "StoredAnswer", "decide"]

LONGEST_MARK_S = 3600.0
"""How long a mark holds its key at most, however late the deadline of its call."""


class StoredAnswer(msgspec.Struct, frozen=True):
    """What an earlier run answered: `kind` says whether `answer` encodes a value or a problem."""

    kind: Literal["value", "problem"]
    answer: bytes
    fingerprint: bytes


class Marked(msgspec.Struct, frozen=True):
    """Who runs a call under a key, and until when (seconds since 1970)."""

    owner: str
    until: float


def decide(
    stored: StoredAnswer | None, marked: Marked | None, fingerprint: bytes, now: float
) -> StoredAnswer | None:
    """The answer to replay, or None where the call may run and take the mark over.

    Raises `KeyReused` where the key has answered another request, `KeyInUse` while another run
    holds the mark.
    """
    if stored is not None:
        if stored.fingerprint != fingerprint:
            raise KeyReused()
        return stored
    if marked is not None and now < marked.until <= now + LONGEST_MARK_S:
        raise KeyInUse(retry_after_s=max(0.0, marked.until - now))
    return None
