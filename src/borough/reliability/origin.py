"""Of which log a noted position is: it means something in the log that it was made with, and in no other.

An origin is the kind of a broker, with what tells its log of a topic from others of that kind where there can be
some (`kafka 5f0c...`). A position of another origin is a number like any: a reader that began there would pass over
events. Rows of earlier versions name none; what they hold tells the kind, of nearly all. Pure decisions.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ASKED", "is_of", "kind_of", "origin_noted", "told_apart"]

ASKED: Final = "asked"
"""What is noted in place of offsets where the number is the publisher's own word."""

_EMBEDDED: Final = 1 << 40
"""Numbers of an embedded log begin far above this, with the time of its creation; others count from zero."""


def origin_noted(origin: str, position: int, places: str) -> str:
    """The origin of a row, where an earlier version has written it the kind alone; `""` where nothing tells.

    A broker without places has left those that it found, so places tell only beside a position that is theirs.
    """
    if origin:
        return origin
    if position >= _EMBEDDED:
        return "embedded"
    if not places:
        return ""
    return "kafka" if places.partition(" ")[0] == str(position) else "rabbitmq"


def kind_of(origin: str) -> str:
    """The kind of broker alone."""
    return origin.partition(" ")[0]


def is_of(noted: str, origin: str) -> bool:
    """Whether a position whose origin was `noted` so may be used in the log of `origin`.

    Where nothing tells, it may: a reader then believes it only as far as it loses nothing by it. So it is where
    either side says the kind alone: a broker may not know its log for a moment.
    """
    return noted in ("", origin, kind_of(origin)) or origin == kind_of(noted)


def told_apart(noted: str, origin: str) -> str:
    """What to note of a position of `noted` that is used in the log of `origin`: whichever says more."""
    return noted if origin == kind_of(noted) else origin
