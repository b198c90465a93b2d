"""What a handler's database knows the events of a topic by.

The topic's own publisher never gives an id twice, so that the id alone is enough; its documents are told by how
they begin, as it costs nothing to look there. Other sources may choose ids that somebody else has, too: CloudEvents
promises no more than that source and id together are unique. What says no source is told by its bytes.
"""

from __future__ import annotations

import hashlib

import msgspec

from borough.contracts.unreadable import UNREADABLE
from borough.ports import Message
from borough.reliability.inbox import inbox_id
from borough.reliability.index_key import fits_index, index_key
from borough.runtime.envelope import opening
from borough.runtime.event_handler import EventHandler
from borough.services.data import Reader

__all__ = ["InboxIds", "was_done_formerly"]

_DONE_FORMERLY = """
select 1 from borough_inbox
where handler = $1 and generation = $2 and event_id = $3 and by_source = 0
"""


class _Sourced(msgspec.Struct, frozen=True):
    source: str


_decode = msgspec.json.Decoder(_Sourced).decode


class InboxIds:
    """The ids of one topic's events for its handlers; `source` is that of its own publisher."""

    __slots__ = ("_before", "_behind", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        before, self._behind = opening(source)
        self._before = len(before)

    def known(self, message: Message) -> Message:
        """The message as a handler's database can hold it, with the id that tells it apart from all others.

        The document keeps id and key as they are.
        """
        event_id, key = message.id, message.key
        is_own = message.body.startswith(self._behind, self._before + len(event_id))
        if is_own and fits_index(event_id) and (key is None or fits_index(key)):
            return message
        key = None if key is None else index_key(key)
        bare = index_key(event_id)
        if is_own or (source := _source_of(message.body)) == self._source:
            return msgspec.structs.replace(message, id=bare, key=key)
        told = index_key(inbox_id(event_id, source))
        return msgspec.structs.replace(message, id=told, key=key, formerly=bare)


async def was_done_formerly(reader: Reader, handler: EventHandler, message: Message) -> bool:
    """Whether an event that is known by source and id was done when an earlier version knew it by its id alone."""
    if not message.formerly:
        return False
    found: int | None = await reader.maybe(
        int, _DONE_FORMERLY, handler.name, handler.generation, message.formerly
    )
    return found is not None


def _source_of(body: bytes) -> str:
    try:
        return _decode(body).source
    except UNREADABLE:
        return f"sha256:{hashlib.sha256(body).hexdigest()}"
