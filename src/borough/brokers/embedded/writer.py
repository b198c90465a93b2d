"""Appends to a topic's log: in whole batches, each on disk before the next one starts.

Every act is done under the topic's lock, and first looks at what other processes or an earlier life
have left: a torn tail is cut off, damage is refused. A full segment is made durable, then its
successor, then that is written to; a batch is never split.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Final

from borough.brokers.embedded.frames import batch_frames
from borough.brokers.embedded.segments import (
    SET_BACK_MS,
    Head,
    Segment,
    Segments,
    Tail,
    sync_file,
    sync_folder,
)
from borough.errors import BrokerError
from borough.ports import LONGEST_EVENT, Message

__all__ = ["FULL_SEGMENT", "LogWriter"]

FULL_SEGMENT: Final = 64 * 1024 * 1024
"""A segment of this size gets a successor."""

_REMEMBERED: Final = 2000
_UNFINISHED: Final = "new"


class LogWriter:
    """Appends to the log in a folder; used from one thread at a time."""

    def __init__(self, folder: Path, full: int = FULL_SEGMENT) -> None:
        self._segments = Segments(folder)
        self._full = full
        self._lock = -1
        self._last: Segment | None = None
        self._tail = Tail(-1, 0, 0, ())
        self._recent: OrderedDict[str, None] = OrderedDict()

    def append(self, messages: Sequence[Message], now_s: float, fresh: Callable[[], bool]) -> bool:
        """Append what is not there yet and wait for the disk; False while another process writes.

        `now_s` (seconds since 1970) is the time of the records, and gives a new log its numbers.
        Raises `BrokerError` when the files refuse, when an event is longer than `LONGEST_EVENT`,
        and when under the lock the messages are no longer `fresh`; the log is then as it was.
        """
        _refuse_too_long(messages)
        with self._held(make=True) as held:
            if not held:
                return False
            if not fresh():
                raise BrokerError(f"events of {self._segments.folder.name} waited for too long")
            self._recover()
            new = self._new(messages)
            if new:
                self._write(self._room(now_s), new, now_s)
        for message in messages:
            self._recent[message.id] = None
            self._recent.move_to_end(message.id)
        while len(self._recent) > max(_REMEMBERED, len(messages)):
            self._recent.popitem(last=False)
        return True

    def close_older(self, than_s: float) -> bool:
        """Let the last segment have a successor when it begins with a record from before `than_s`.

        False while another process writes.
        """
        if not self._segments.folder.is_dir():
            return True
        with self._held(make=False) as held:
            if not held:
                return False
            self._recover()
            if self._last is not None and self._tail.number > self._last.head.base:
                first_ms = self._last.first_time_ms()
                if first_ms is not None and first_ms < than_s * 1000:
                    self._succeed(self._last)
        return True

    @contextlib.contextmanager
    def _held(self, *, make: bool) -> Generator[bool, None, None]:
        """Hold the topic's lock; gives False when another process does, or there is no log."""
        folder = self._segments.folder
        try:
            if self._lock >= 0 and os.fstat(self._lock).st_nlink == 0:
                self.close()  # the log was removed: begin a new one
            if self._lock < 0:
                if make:
                    folder.mkdir(exist_ok=True)
                sync_folder(folder.parent)  # whoever made it may have been killed before that
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._lock = os.open(folder / "lock", flags, 0o644)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        except OSError as error:
            raise BrokerError(f"{folder} cannot be written: {error.strerror}") from error

    def _new(self, messages: Sequence[Message]) -> list[Message]:
        """Those that are not there yet.

        A publisher sends in the order of its sequence, so what comes before one that is there was
        there too, although a compaction may have removed it since.
        """
        recent = self._recent
        there = max((m.sequence for m in messages if m.id in recent), default=None)
        if there is None:
            return list(messages)
        return [m for m in messages if m.id not in recent and m.sequence > there]

    def _recover(self) -> None:
        """Look at what another process, or an earlier life of this one, has left."""
        last = self._last
        if last is not None:
            following = self._segments.path(self._tail.number)
            empty = self._tail.number == last.head.base
            if last.state() == (self._tail.offset, True) and (
                empty or not os.path.exists(following)
            ):
                return
            self._forget()
        self._segments.clean(_UNFINISHED)
        ids: list[str] = []
        for base in reversed(self._segments.bases()):
            segment = self._segments.open(base, os.O_RDWR)
            if segment is None:
                continue
            try:
                tail = self._tail_of(segment, last=self._last is None)
            except BaseException:
                segment.close()
                raise
            if self._last is None:
                self._last, self._tail = segment, tail
            else:
                segment.close()
            ids = [*tail.ids, *ids]
            if ids:
                break
        if self._last is not None:
            # What a killed writer has written may not be on disk, even if it was asked to be. Nor may the file's name.
            self._last.write_again(self._tail.batch, self._tail.offset)
            sync_file(self._last.fd)
            sync_folder(self._segments.folder)
        self._recent = OrderedDict.fromkeys(ids)

    def _tail_of(self, segment: Segment, *, last: bool) -> Tail:
        size, _ = segment.state()
        tail = segment.tail(size)
        if tail.offset < size:
            if not last:
                raise segment.damaged(tail.offset)
            os.ftruncate(segment.fd, tail.offset)
        return tail

    def _room(self, now_s: float) -> Segment:
        """The segment to append to: the last one, a new one behind it, or the first of a new log."""
        last = self._last
        if last is not None and self._tail.offset >= self._full:
            last = self._succeed(last)
        elif last is None:
            # Two thousand million records for each second between a log's creation and its successor's.
            origin = int(now_s) << 31
            last = self._create(Head(origin, origin, 0))
        return last

    def _succeed(self, last: Segment) -> Segment:
        """Close the last segment and make the one behind it."""
        sync_file(last.fd)  # a tail that was cut must not come back below a successor
        tail = self._tail
        return self._create(Head(last.head.origin, tail.number, tail.time_ms))

    def _create(self, head: Head) -> Segment:
        self._segments.create(head)
        made = self._segments.open(head.base, os.O_RDWR)
        if made is None:
            raise BrokerError(f"{self._segments.path(head.base)} was removed while it was made")
        if self._last is not None:
            self._last.close()
        self._last = made
        self._tail = Tail(made.state()[0], head.base, head.before_ms, ())
        return made

    def _write(self, last: Segment, messages: Sequence[Message], now_s: float) -> None:
        start, number = self._tail.offset, self._tail.number
        time_ms = int(now_s * 1000)
        if (
            0 < self._tail.time_ms - time_ms < SET_BACK_MS
        ):  # times never fall: retention goes by them
            time_ms = self._tail.time_ms
        data = b"".join(batch_frames(messages, number, time_ms))
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(last.fd, memoryview(data)[written:], start + written)
            sync_file(last.fd)
        except OSError:
            # After a failed sync the pages may count as clean: cut them off and write them anew.
            self._tail = self._tail._replace(offset=-1)
            os.ftruncate(last.fd, start)
            raise
        self._tail = Tail(start + len(data), number + len(messages), time_ms, ())

    def _forget(self) -> None:
        if self._last is not None:
            self._last.close()
            self._last = None

    def close(self) -> None:
        """Release the files."""
        self._forget()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _refuse_too_long(messages: Sequence[Message]) -> None:
    """Raise `BrokerError` for an event of a length that no reader is promised to take."""
    for message in messages:
        if len(message.body) > LONGEST_EVENT:
            raise BrokerError(
                f"event {message.id} of {message.topic} has {len(message.body)} bytes, "
                f"an event at most {LONGEST_EVENT}"
            )
