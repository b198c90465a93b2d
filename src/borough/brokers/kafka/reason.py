"""Why a client does not reach its cluster, as it says itself: what is asked of it only fails in time.

A refused password, an untrusted certificate and a name without an address all end as `timed out` for whoever waits.
"""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaError

__all__ = ["Reason"]

_IN_TIME: Final = (
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
)
_WITHOUT_A_WORD: Final = (
    "connections end without a word, as where security.protocol in events.kafka.settings is not "
    "that of the listener"
)
_NOISE: Final = re.compile(r"/bootstrap(?=: )| \(after \d+ms in state .*\)$")


class Reason:
    """What the producer of a process was told last; its thread tells, others ask."""

    __slots__ = ("_last", "_was_there")

    def __init__(self) -> None:
        self._last = ""
        self._was_there = False

    def hear(self, error: KafkaError) -> None:
        """Keep what says more than that nobody is there."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._last = _NOISE.sub("", error.str())

    def reached(self) -> None:
        """The cluster has answered: what was said before explains nothing any more."""
        self._last = ""
        self._was_there = True

    @property
    def told(self) -> str:
        """It in brackets, to be put behind a sentence; `""` where nothing is known."""
        last = self._last or ("" if self._was_there else _WITHOUT_A_WORD)
        return f" ({last})" if last else ""

    def behind(self, error: KafkaError) -> str:
        """An error with the reason, where itself it has none but time."""
        return error.str() + (self.told if error.code() in _IN_TIME else "")
