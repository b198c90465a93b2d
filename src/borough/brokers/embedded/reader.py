"""Reads a topic's log from a position on, across its segments, while it is written and trimmed.

A position is the number of the next record, so all below it has been read. A segment that has been
read to its end is followed by the one that begins there. One that was removed or rewritten
meanwhile is read on, and then the position is looked up anew; what was removed before it could be
read is counted. A reader waits before a torn tail and refuses damage.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from borough.brokers.embedded.frames import read_message, scan_records
from borough.brokers.embedded.segments import HEAD_SIZE, Segment, Segments
from borough.errors import BrokerError
from borough.ports import Delivery

__all__ = ["LogReader"]

_AHEAD: Final = 1024 * 1024
_BYTES_AT_ONCE: Final = 4 * 1024 * 1024
_TRIES: Final = 100
_LOOKED_AROUND_EACH: Final = 25


class LogReader:
    """Reads the log in a folder; it may not exist yet."""

    def __init__(self, folder: Path, position: int = 0) -> None:
        self._segments = Segments(folder)
        self._segment: Segment | None = None
        self._offset: int = 0
        self._idle = 0
        self.position = position
        """All records below this number have been read."""
        self.missed = 0
        """How many records were removed before they were read."""

    def seek(self) -> bool:
        """Find the position; returns whether there is a log. Raises `BrokerError` for damage.

        It becomes the earliest retained where it lies before that, and the end where the log has
        lost what its writer will append again.
        """
        segment = self._open_at(self.position)
        if segment is None:
            return False
        head = segment.head
        if self.position < head.base:
            self._count_missed(head.origin, head.base)
            self.position = head.base
        self._take(segment)
        self._offset, self.position = segment.find(self.position, segment.state()[0])
        return True

    def _count_missed(self, origin: int, base: int) -> None:
        if self.position >= origin:
            self.missed += base - self.position
        elif self.position:  # of a log that was removed; nobody knows what else it had
            self.missed += base - origin + 1
        else:
            self.missed += base - origin

    def _open_at(self, position: int) -> Segment | None:
        """The segment that has this position, else the first."""
        for _ in range(_TRIES):
            bases = self._segments.bases()
            if not bases:
                return None
            at = max((base for base in bases if base <= position), default=bases[0])
            segment = self._segments.open(at)
            if segment is not None:
                return segment
        raise BrokerError(f"the segments in {self._segments.folder} are removed faster than read")

    def _take(self, segment: Segment) -> None:
        self.close()
        self._segment = segment
        self._offset = HEAD_SIZE
        self._idle = 0

    def read(self, limit: int, size: int = _BYTES_AT_ONCE) -> list[Delivery]:
        """The next records: at most `limit`, and one at least of more than `size` bytes together."""
        found: list[Delivery] = []
        topic, left = self._segments.folder.name, size
        while (segment := self._ready()) is not None:
            end, linked = segment.state()
            if end < self._offset:  # its writer could not make durable what was read, and cut it
                self._offset, _ = segment.find(self.position, end)
            for data, begin, stop, number, _, _, after in scan_records(
                segment.fd, self._offset, end
            ):
                self._offset = after
                if number != self.position and not self._fits(segment, number):
                    continue
                found.append(Delivery(read_message(data, begin, stop, topic), number + 1))
                self.position = number + 1
                left -= stop - begin
                if len(found) >= limit or left <= 0:
                    return found
            if found or not self._follow(segment, end, linked):
                break
        return found

    def find_end(self) -> int:
        """The position behind the last whole record, 0 without a log. The reader is then there."""
        while (segment := self._ready()) is not None:
            end, linked = segment.state()
            if not linked or end - self._offset > _AHEAD or end < self._offset:
                if not self._to_last():
                    break
                continue
            for record in scan_records(segment.fd, self._offset, end):
                self._offset = record.after
                self.position = record.number + 1
            if not self._follow(segment, end, linked):
                self._refuse_hole(segment, end)
                break
        return self.position

    def _to_last(self) -> bool:
        """Go to the end of the last segment."""
        for _ in range(_TRIES):
            bases = self._segments.bases()
            segment = self._segments.open(bases[-1]) if bases else None
            if segment is not None:
                self._take(segment)
                tail = segment.tail(segment.state()[0])
                self._offset, self.position = tail.offset, tail.number
                return True
            if not bases:
                self.close()
                self.position = 0
                return False
        raise BrokerError(f"the segments in {self._segments.folder} are removed faster than read")

    def _ready(self) -> Segment | None:
        if self._segment is None:
            self.seek()
        return self._segment

    def _fits(self, segment: Segment, number: int) -> bool:
        """Whether a record that is not the expected one is to be taken. Raises `BrokerError`."""
        if number < self.position:  # cut by its writer, and appended again
            return False
        if segment.head.end:
            return True
        raise BrokerError(f"{segment.path} has record {number} where {self.position} should be")

    def _follow(self, segment: Segment, size: int, linked: bool) -> bool:
        """Go on to what comes behind a segment; False while there is nothing more."""
        if self._offset < size:
            self._refuse_damage(segment, size)
            return False
        if segment.head.end:
            self.position = segment.head.end
        if not linked:
            self.close()
            return self.seek()
        if self.position > segment.head.base:  # else it is empty, and would follow itself
            following = self._segments.open(self.position)
            if following is not None:
                self._take(following)
                return True
        self._idle += 1
        if self._idle % _LOOKED_AROUND_EACH == 0:
            self._refuse_hole(segment, size)
        return False

    def _refuse_damage(self, segment: Segment, size: int) -> None:
        """Raise `BrokerError` unless what stands here is the torn tail of the last segment."""
        segment.refuse_damage(self._offset, self.position, size)
        if self._closed(segment) and not self._whole(segment):
            raise segment.damaged(self._offset)

    def _whole(self, segment: Segment) -> bool:
        """Whether what was torn a moment ago has been finished since."""
        return any(scan_records(segment.fd, self._offset, segment.state()[0]))

    def _refuse_hole(self, segment: Segment, size: int) -> None:
        """Raise `BrokerError` when a segment is missing between this one and later ones."""
        if (
            self._closed(segment)
            and segment.state() == (size, True)
            and not os.path.exists(self._segments.path(self.position))
        ):
            raise BrokerError(f"{self._segments.path(self.position)} is missing")

    def _closed(self, segment: Segment) -> bool:
        return bool(segment.head.end) or self._segments.bases()[-1:] > [segment.head.base]

    def close(self) -> None:
        """Release the file."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
