"""Handlers that have left their name behind: whoever renames a method begins anew with it, and loses what was to come.

A name owns its position. So where a handler is new and another one of its service, which heard the same topic, is no
handler any more, a start says so once, while the old position is still worth going back to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from borough.services.data import Reader

__all__ = ["renamed"]

_NOTED = """
select handler, topic, (select count(*) from borough_parked where borough_parked.handler = noted.handler) as parked
from borough_positions as noted order by handler, topic
"""


class _Noted(msgspec.Struct, frozen=True):
    handler: str
    topic: str
    parked: int


async def renamed(
    reader: Reader, heard: Collection[tuple[str, str]], whole: Collection[str]
) -> list[str]:
    """A sentence for each handler that seems to be a renamed one.

    `heard` has each handler of the code with its topic, `whole` those that begin with the earliest event and miss
    nothing. Ask before new ones are noted.
    """
    noted = await reader.all(_Noted, _NOTED)
    return list(_sentences(noted, heard, whole))


def _sentences(
    noted: Collection[_Noted], heard: Collection[tuple[str, str]], whole: Collection[str]
) -> Iterator[str]:
    known = {(each.handler, each.topic) for each in noted}
    names = {handler for handler, _ in heard}
    for handler, topic in heard:
        left = [each for each in noted if each.topic == topic and each.handler not in names]
        if (handler, topic) in known or handler in whole or not left:
            continue
        gone = " and ".join(f"{each.handler} ({each.parked} events parked)" for each in left)
        old = left[0].handler.partition(".")[2]
        yield (
            f"{handler} is new and hears {topic} from now on, while {gone} heard it and is no handler any more; "
            f'if it was renamed, write name="{old}" in its mark: it goes on where it was'
        )
