"""What a publisher retains of its topics where the broker keeps no history, and how others read it.

The relay moves an event from the outbox into `borough_history` when the broker has it, in the
transaction that it needs anyway. A reader is answered from both: what has committed is found, whether
the broker has it yet or not, so that whoever first joins a topic and then reads its history misses
nothing. What is not settled yet comes to the broker later than that. It is read by an operation like any
other, in this process or over the wire.
"""

from __future__ import annotations

from typing import Any, Protocol

from borough.contracts.marks import contract, get
from borough.contracts.operation import Contract
from borough.contracts.reading import read_contract
from borough.contracts.retention import Retention
from borough.contracts.struct import Struct
from borough.errors import BoroughError, BrokerError
from borough.ports import Message, Store, TopicFacts

__all__ = [
    "AFTER_ALL",
    "KEEP_HISTORY",
    "HistoryKeeper",
    "Past",
    "events_behind",
    "history_contract",
    "history_facts",
    "history_name",
    "trim_statement",
]

KEEP_HISTORY = """
insert into borough_history (sequence, topic, id, type, key, body, kept_at)
select sequence, topic, id, type, key, body, $2 from borough_outbox where sequence <= $1
on conflict (sequence) do nothing
"""
"""Run by the relay, before the rows leave the outbox: up to which number, and the time."""

_PUBLISHED = """
select sequence, {0} from borough_history where topic = $1 and sequence > $2
union all
select sequence, {0} from borough_settled where topic = $1 and sequence > $2
order by sequence limit $3
"""
_SIZES = _PUBLISHED.format("length(body)")
_ROWS = _PUBLISHED.format("id, type, key, body")
_BEHIND = "select count(*) from borough_history where topic = $1 and sequence > $2"
_END = """
select coalesce(max(sequence), 0) from (
    select sequence from borough_topics where topic = $1
    union all
    select max(sequence) from borough_settled where topic = $1
) as ends
"""
_FACTS = """
select coalesce(min(sequence), 0), count(*), coalesce(sum(length(body)), 0), min(kept_at)
from borough_history where topic = $1
"""
_TRIM_OLD = """
delete from borough_history where sequence in (
    select sequence from (
        select sequence, kept_at from borough_history where topic = $1 order by sequence limit $3
    ) as first where kept_at < $2)
"""
_TRIM_SUPERSEDED = """
delete from borough_history where sequence in (
    select sequence from (
        select sequence,
            row_number() over (partition by type, key order by sequence desc) as place
        from borough_history where topic = $1 and key is not null
    ) as placed where place > 1 and $2 > 0 limit $3)
"""
AFTER_ALL = 1 << 62
"""Behind every event: who reads after it learns only where the topic ends."""

_EVENTS_AT_ONCE = 200
_BYTES_AT_ONCE = 1 << 20


class PastEvent(Struct):
    """An event as its publisher keeps it."""

    sequence: int
    id: str
    type: str
    key: str | None
    body: bytes


class HistoryPage(Struct):
    """The next events of a topic, none at its end; `end` is the number of its last one."""

    events: tuple[PastEvent, ...]
    end: int


class HistoryReader(Protocol):
    """The operation by which a service serves the history of its topics."""

    async def read(self, topic: str, after: int) -> HistoryPage:
        """The next events of the topic after a number."""
        ...


def history_name(publisher: str) -> str:
    """The wire name of the contract of a service's history."""
    return f"{publisher}.BoroughHistory"


def history_contract(publisher: str) -> Contract:
    """The contract by which a service serves its history; whoever hears it may call it."""

    class BoroughHistory(Protocol):
        """Serves what this service has published."""

        @get("/borough-history")
        async def read(self, topic: str, after: int) -> HistoryPage:
            """The next events of the topic after a number."""
            ...

    return read_contract(contract(publisher, version="1.0")(BoroughHistory))


class HistoryKeeper:
    """Answers the history of one service from its database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, topic: str, after: int) -> HistoryPage:
        """The next events of the topic after a number, within a bound of size."""
        sizes = await self._store.all(tuple[int, int], _SIZES, topic, after, _EVENTS_AT_ONCE)
        count = size = 0
        for _, length in sizes:
            size += length
            if count and size > _BYTES_AT_ONCE:
                break
            count += 1
        events: tuple[PastEvent, ...] = ()
        if count:
            events = tuple(await self._store.all(PastEvent, _ROWS, topic, after, count))
        return HistoryPage(events=events, end=await self._store.one(int, _END, topic))


class Past:
    """The history of one topic, as its publisher serves it to a handler."""

    def __init__(self, topic: str, reader: HistoryReader) -> None:
        self._topic = topic
        self._reader = reader

    async def read(self, after: int) -> tuple[list[Message], int]:
        """The next events after a number, each naming the one before it, and where the topic ends.

        Raises `BrokerError` where its publisher does not answer.
        """
        try:
            page = await self._reader.read(self._topic, after)
        except BoroughError as error:
            raise BrokerError(f"the history of {self._topic} cannot be had: {error}") from error
        found: list[Message] = []
        for event in page.events:
            found.append(
                Message(
                    event.id, self._topic, event.type, event.key, event.sequence, event.body, after
                )
            )
            after = event.sequence
        return found, page.end


async def history_facts(store: Store, topic: str) -> TopicFacts:
    """What a publisher's database keeps of a topic; positions are the events' numbers."""
    found: Any = await store.one(tuple[int, int, int, float | None], _FACTS, topic)
    first, records, size, oldest_s = found
    end = await store.one(int, _END, topic)
    return TopicFacts(max(0, first - 1) if records else end, end, records, size, 0, oldest_s)


async def events_behind(store: Store, topic: str, sequence: int) -> int:
    """How many events a publisher keeps behind a number."""
    return await store.one(int, _BEHIND, topic, sequence)


def trim_statement(retention: Retention, now_s: float) -> tuple[str, float] | None:
    """What deletes a batch of what a topic need not retain, and its second parameter; None for `forever`."""
    if retention.kind == "forever":
        return None
    if retention.kind == "age":
        return _TRIM_OLD, now_s - retention.seconds
    return _TRIM_SUPERSEDED, 1.0
