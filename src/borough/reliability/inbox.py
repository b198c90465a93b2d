"""What makes an event's effects happen once: its inbox key, and a stable key for what it calls.

The inbox row (handler, generation, event id) is written in the transaction of the effects. While
redelivery stays inside the retention, a second delivery finds the row and does nothing. CloudEvents are told
apart by source and id together: an id alone will do for one source of each topic, that of its own publisher.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import msgspec

from borough.reliability.retries import Retries

__all__ = ["InboxTerms", "inbox_id", "stable_key"]

_LONGEST_KEY = 200
_OF_A_URI = "/:?#[]@!$&'()*+,;=%"


class InboxTerms(msgspec.Struct, frozen=True):
    """How a consumer works.

    `deadline_s` bounds one run of the handler, `at_once` how many run, `window` how many deliveries
    may be unfinished, `grace_s` how long running ones may take when it stops. After a crash the attempts on the first
    `suspects` events are counted before they run. `source` is that of the topic's own publisher, which never gives
    an id twice.
    """

    deadline_s: float = 30.0
    at_once: int = 64
    window: int = 1000
    grace_s: float = 20.0
    suspects: int = 128
    retries: Retries = Retries()
    source: str = ""


def inbox_id(event_id: str, source: str) -> str:
    """What an event of anybody but the topic's own publisher is known by. No two sources share one."""
    return f"{quote(source, safe=_OF_A_URI)} {event_id}"


def stable_key(event_id: str, handler: str) -> str:
    """The idempotency key for calls made while `handler` handles this event.

    It is the same on every attempt, and fits into a header whatever id a foreign publisher chose.
    """
    key = f"{handler}/{event_id}"
    if len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable() and '"' not in key:
        return key
    return f"{handler}/{hashlib.sha256(event_id.encode()).hexdigest()}"
