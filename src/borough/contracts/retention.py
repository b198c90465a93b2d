"""How long a topic keeps its events: for some time, the latest of each key, or forever.

A contract says it in words (`retains="7d"`); this is the value that the words mean.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

__all__ = ["FOREVER", "LATEST_PER_KEY", "WEEK", "Retention"]

_AGE = re.compile(r"([1-9][0-9]{0,4})([hd])\Z")
_UNITS: Final = {"h": 3600, "d": 86_400}
_LATEST: Final = "latest per key"


class Retention(msgspec.Struct, frozen=True):
    """What a topic keeps: events of an `age` up to `seconds`, the `latest` per key, or all `forever`."""

    kind: Literal["age", "latest", "forever"]
    seconds: int = 0

    @classmethod
    def read(cls, words: object) -> Retention | None:
        """What `7d`, `36h`, `latest per key` or `forever` mean; None for anything else."""
        if words == _LATEST:
            return LATEST_PER_KEY
        if words == "forever":
            return FOREVER
        found = _AGE.match(words) if isinstance(words, str) else None
        return None if found is None else cls("age", int(found[1]) * _UNITS[found[2]])

    @property
    def words(self) -> str:
        """The one way to say it: `168h` is `7d`."""
        if self.kind == "age":
            unit = "d" if self.seconds % _UNITS["d"] == 0 else "h"
            return f"{self.seconds // _UNITS[unit]}{unit}"
        return _LATEST if self.kind == "latest" else "forever"


WEEK: Final = Retention("age", 7 * _UNITS["d"])
"""What a topic keeps when its contract does not say."""

LATEST_PER_KEY: Final = Retention("latest")
"""The newest event of each key, for as long as the topic lives."""

FOREVER: Final = Retention("forever")
"""Every event."""
