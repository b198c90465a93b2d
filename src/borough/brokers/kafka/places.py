"""What a position means where a topic has several partitions: the sum of their offsets.

It grows by one with each event, so positions count, and their difference is how much is left. The
offsets behind a position are kept by the group in Kafka: committed after the database has the
position, they are never ahead of it. Where they are, or are gone, what the database says still holds,
and the topic is read anew from its beginning. Pure decisions.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Offsets", "Start", "start_of"]

Offsets = Mapping[int, int]
"""By partition: the offset of the next record."""


class Start(msgspec.Struct, frozen=True):
    """Where a reading begins. Events up to `skip_to` were handled; `missed` ones retention has removed.

    `is_lost` says that nobody knows the offsets of the position that was asked for.
    """

    offsets: dict[int, int]
    missed: int = 0
    skip_to: int = 0
    is_lost: bool = False

    @property
    def position(self) -> int:
        """That of its offsets."""
        return sum(self.offsets.values())


def start_of(position: int, low: Offsets, high: Offsets, committed: Offsets) -> Start:
    """Where to begin so that nothing after `position` is left out.

    `low` and `high` bound what each partition holds.
    """
    earliest = sum(low.values())
    asked = {each: committed.get(each, low[each]) for each in low}
    if committed and sum(asked.values()) <= position:
        within = {each: at if at <= high[each] else low[each] for each, at in asked.items()}
        missed = sum(max(0, low[each] - at) for each, at in within.items())
        return Start({each: max(at, low[each]) for each, at in within.items()}, missed)
    if position <= earliest:
        return Start(dict(low), missed=earliest - position)
    if position > sum(high.values()):
        return Start(dict(low))
    return Start(dict(low), skip_to=position, is_lost=True)
