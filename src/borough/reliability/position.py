"""Positions that a write returns and a read can wait for: `TOPIC:SEQUENCE`, several with commas.

The numbers of one transaction's events follow one another, so its last number tells them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["position_of", "read_position"]

_PART = re.compile(r"([A-Za-z0-9_.-]+):(0|[1-9][0-9]{0,18})", re.ASCII)


def position_of(topics: Sequence[str], last: int) -> str:
    """The position after events of these topics, in their order, the last of which has this number."""
    first = last - len(topics) + 1
    found = {topic: number for number, topic in enumerate(topics, first)}
    return ",".join(f"{topic}:{number}" for topic, number in sorted(found.items()))


def read_position(text: str) -> Mapping[str, int]:
    """The number per topic; nothing for an empty text. Raises `ValueError` for what is no position."""
    found: dict[str, int] = {}
    for part in text.split(",") if text else ():
        read = _PART.fullmatch(part)
        if read is None:
            raise ValueError(f"{text[:100]!r} is no position that a write has returned")
        found[read[1]] = max(int(read[2]), found.get(read[1], 0))
    return found
