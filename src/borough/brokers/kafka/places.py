"""What a position means where a topic has several partitions: the sum of their offsets.

It grows by one with each event, so positions count, and their difference is how much is left. The
offsets behind a position are noted with it in the handler's database, as a text that begins with the
position that it is of: Kafka forgets those of a group, one partition after another. Where none were noted, the
group's are taken: committed after the database has the position, they are never ahead of it. Where they are, or are
gone, the topic is read anew from its beginning, and only who knows the position for one of this topic passes over
what it counts. Pure decisions.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Offsets", "Start", "places_text", "read_places", "start_of"]

Offsets = Mapping[int, int]
"""By partition: the offset of the next record."""


class Start(msgspec.Struct, frozen=True):
    """Where a reading begins. Events up to `skip_to` were handled; `missed` ones retention has removed.

    `is_lost` says that nobody knows the offsets of the position that was asked for; `identity` is the topic's.
    """

    offsets: dict[int, int]
    missed: int = 0
    skip_to: int = 0
    is_lost: bool = False
    identity: str = ""

    @property
    def position(self) -> int:
        """That of its offsets."""
        return sum(self.offsets.values())


def places_text(position: int, offsets: Offsets) -> str:
    """What a database notes of the offsets of a position."""
    return " ".join([str(position), *(f"{each}:{at}" for each, at in sorted(offsets.items()))])


def read_places(position: int, text: str) -> Offsets:
    """The offsets that were noted with this position; none where they are of another one."""
    noted, *places = text.split() or [""]
    if noted != str(position):
        return {}
    pairs = (place.partition(":") for place in places)
    return {int(each): int(at) for each, _, at in pairs}


def start_of(
    position: int, low: Offsets, high: Offsets, committed: Offsets, noted: Offsets | None = None
) -> Start:
    """Where to begin so that nothing after `position` is left out.

    `low` and `high` bound what each partition holds. What was `noted` with the position is believed; a
    partition that it does not name was added since. Where places are kept and there are none, the position may be
    another broker's: nothing is passed over by it.
    """
    earliest = sum(low.values())
    if noted:
        return _from({each: noted.get(each, low[each]) for each in low}, low, high)
    asked = {each: committed.get(each, low[each]) for each in low}
    if committed and sum(asked.values()) <= position:
        return _from(asked, low, high)
    if noted is not None:
        return Start(dict(low))
    if position <= earliest:
        return Start(dict(low), missed=earliest - position)
    if position > sum(high.values()):
        return Start(dict(low))
    return Start(dict(low), skip_to=position, is_lost=True)


def _from(asked: Offsets, low: Offsets, high: Offsets) -> Start:
    """Begin with these; a partition that is shorter than that is read from its beginning."""
    within = {each: at if at <= high[each] else low[each] for each, at in asked.items()}
    missed = sum(max(0, low[each] - at) for each, at in within.items())
    return Start({each: max(at, low[each]) for each, at in within.items()}, missed)
