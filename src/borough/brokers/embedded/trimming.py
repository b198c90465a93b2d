"""Which segments of a topic retention lets go, and how much a topic holds.

Only closed segments are removed, oldest first, each when its newest record is older than is
retained; the head of the next segment says when that was, unless a clock was wrong meanwhile. The
last segment stays, and with it the numbers, so the broker closes one that has become old before it
trims.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import Final

from borough.brokers.embedded.frames import scan_records
from borough.brokers.embedded.segments import HEAD_SIZE, SET_BACK_MS, Segment, Segments
from borough.errors import BrokerError
from borough.ports import TopicFacts, Trimmed

__all__ = [
    "PARTS",
    "earliest",
    "opened",
    "remove_covered",
    "remove_older",
    "topic_facts",
    "trimming",
]

PARTS: Final = 8
"""An age is kept in so many segments or more: what is removed at once is a part of it."""


@contextlib.contextmanager
def trimming(segments: Segments) -> Generator[bool, None, None]:
    """Be the only one who removes and rewrites segments; gives False when another process is."""
    if not segments.folder.is_dir():
        yield False
        return
    fd = os.open(segments.folder / "trim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        yield False
        return
    try:
        yield True
    finally:
        os.close(fd)  # gives the lock back


def remove_older(segments: Segments, than_s: float, now_s: float) -> Trimmed:
    """Remove each closed segment whose newest record is from before `than_s`."""
    with opened(segments) as found:
        gone = found[: _how_many_are_older(found, than_s * 1000, now_s * 1000 + SET_BACK_MS)]
        if not gone:
            return Trimmed()
        records = sum(
            _records(one, two.head.base) for one, two in zip(gone, found[1:], strict=False)
        )
        size = sum(segment.state()[0] for segment in gone)
        first = found[len(gone)].head.base
        segments.remove([base for base in segments.bases() if base < first])
        return Trimmed(records, size)


def _how_many_are_older(found: Sequence[Segment], than_ms: float, ahead_ms: float) -> int:
    """How many of the closed segments, from the first one on."""
    older = 0
    for index, (segment, following) in enumerate(pairwise(found), 1):
        is_older = _is_older(segment, following.head.before_ms, than_ms, ahead_ms)
        if is_older is False:
            break
        older = index if is_older else older
    return older


def _is_older(segment: Segment, end_ms: int, than_ms: float, ahead_ms: float) -> bool | None:
    """Whether a segment that ends at a time has nothing younger.

    None where a clock was so far ahead that its times tell nothing: it goes with those behind it. Where times fall,
    a clock was wrong for a while, and the last record says nothing of those before.
    """
    if than_ms <= end_ms <= ahead_ms:
        return False
    begin_ms = max(segment.head.before_ms, segment.first_time_ms() or 0)
    if begin_ms <= end_ms <= ahead_ms:
        return True
    times = [record.time_ms for record in scan_records(segment.fd, HEAD_SIZE, segment.state()[0])]
    if any(than_ms <= time_ms <= ahead_ms for time_ms in times):
        return False
    return None if max(times, default=0) > ahead_ms else True


def remove_covered(segments: Segments) -> None:
    """Remove what a compaction that was killed has left: segments that another one stands for."""
    with opened(segments) as found:
        needed = {segment.head.base for segment in found}
    segments.remove(
        [base for base in segments.bases() if base < max(needed, default=0) and base not in needed]
    )


def topic_facts(segments: Segments) -> TopicFacts:
    """What a topic holds now."""
    with opened(segments) as found:
        if not found:
            return TopicFacts(0, 0, 0, 0, 0, None)
        last = found[-1]
        end = last.tail(last.state()[0]).number
        ends = [*(segment.head.base for segment in found[1:]), end]
        times = (segment.first_time_ms() for segment in found)
        oldest_ms = next((time_ms for time_ms in times if time_ms is not None), None)
        return TopicFacts(
            earliest=found[0].head.base,
            end=end,
            records=sum(map(_records, found, ends)),
            bytes=sum(segment.state()[0] for segment in found),
            segments=len(found),
            oldest_s=None if oldest_ms is None else oldest_ms / 1000,
        )


def earliest(segments: Segments) -> int:
    """The first number that is retained; 0 where there is no log."""
    return next(iter(segments.bases()), 0)


def _records(segment: Segment, end: int) -> int:
    """How many records a segment has whose successor begins at `end`."""
    head = segment.head
    return head.records if head.end else end - head.base


@contextlib.contextmanager
def opened(segments: Segments) -> Generator[list[Segment], None, None]:
    """The segments, without those that a compacted one stands for. Raises `BrokerError`."""
    found: list[Segment] = []
    try:
        end = 0
        for base in segments.bases():
            segment = segments.open(base) if base >= end else None
            if segment is not None:
                found.append(segment)
                end = segment.head.end
        yield found
    except OSError as error:
        raise BrokerError(f"{segments.folder} cannot be read: {error.strerror}") from error
    finally:
        for segment in found:
            segment.close()
