"""Rewrites closed segments so that of each type and key only the newest event is left.

Which records a later one supersedes is found by sorting (digest of type and key, place) in runs on
disk and merging them: memory holds a bit for each record and a small piece of each run, about one
byte per record however many keys there are. A new segment is whole and on disk before it takes the
place of the first that it stands for; the others are then removed. Numbers and order stay.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import os
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from borough.brokers.embedded.frames import FRAME_SIZE, Record, read_names, scan_records
from borough.brokers.embedded.segments import HEAD_SIZE, Head, Segment, Segments, sync_folder
from borough.brokers.embedded.trimming import opened
from borough.errors import BrokerError
from borough.ports import Trimmed

__all__ = ["CompactionStopped", "compact"]

_UNFINISHED: Final = "compacted"
_PLACE: Final = struct.Struct(">Q")
_DIGEST: Final = 16
_ENTRY: Final = _DIGEST + _PLACE.size
_RUN: Final = 16_384  # sorted in one go, which holds up other threads for some milliseconds
_PIECE: Final = 512
_BUFFER: Final = 1024 * 1024


class CompactionStopped(BrokerError):
    """The process ends; the log is as whole as before."""


def compact(segments: Segments, full: int, stopping: Callable[[], bool]) -> Trimmed:
    """Compact the closed segments, if those that never were are half as large as the others.

    Only by whoever is `trimming`. Raises `BrokerError`.
    """
    import tempfile  # with what it brings, not at the start of every process

    segments.clean(_UNFINISHED)
    with opened(segments) as found:
        closed = found[:-1]
        dirty = sum(segment.state()[0] for segment in closed if not segment.head.end)
        before = sum(segment.state()[0] for segment in closed)
        if not dirty or dirty < (before - dirty) / 2:
            return Trimmed()
        superseded = _Superseded(found, stopping)
        with tempfile.TemporaryFile(dir=segments.folder) as runs:
            superseded.find(runs.fileno())
        after = _Rewriting(segments, found, full, superseded).rewrite()
        return Trimmed(superseded.count, before - after)


def _whole(segment: Segment, *, last: bool = False) -> Iterator[Record]:
    """The records of a segment. Raises `BrokerError` where a closed one cannot be read to its end."""
    size, _ = segment.state()
    after = HEAD_SIZE
    for record in scan_records(segment.fd, HEAD_SIZE, size):
        after = record.after
        yield record
    if after < size and not last:
        raise segment.damaged(after)


class _Superseded:
    """Which records have a newer one of their type and key. A place counts them from the first."""

    def __init__(self, found: Sequence[Segment], stopping: Callable[[], bool]) -> None:
        self._found = found
        self._stopping = stopping
        self._bits = bytearray()
        self._starts: list[int] = []
        self.counts = [0] * len(found)
        """How many of each segment."""

    def __contains__(self, place: int) -> bool:
        return bool(self._bits[place >> 3] >> (place & 7) & 1)

    @property
    def count(self) -> int:
        """How many of the closed segments."""
        return sum(self.counts[:-1])

    def start(self, index: int) -> int:
        """The place of a segment's first record."""
        return self._starts[index]

    def find(self, runs: int) -> None:
        """Find them, with sorted runs in the file `runs`."""
        lengths = self._sort(runs)
        offset = 0
        pieces: list[Iterator[bytes]] = []
        for length in lengths:
            pieces.append(_entries(runs, offset, length))
            offset += length * _ENTRY
        last = b""
        for count, entry in enumerate(heapq.merge(*pieces)):
            if count % _RUN == 0:
                self.go_on()
            if entry[:_DIGEST] == last[:_DIGEST]:
                self._mark(_PLACE.unpack_from(last, _DIGEST)[0])
            last = entry

    def _sort(self, runs: int) -> list[int]:
        """Write sorted runs of all records with a key; returns the length of each."""
        lengths: list[int] = []
        run: list[bytes] = []
        place = 0
        for index, segment in enumerate(self._found):
            self._starts.append(place)
            for record in _whole(segment, last=index == len(self._found) - 1):
                kind, key = read_names(record.data, record.begin, record.end)
                if key is not None:
                    named = f"{kind}\0{key}".encode()
                    digest = hashlib.blake2b(named, digest_size=_DIGEST).digest()
                    run.append(digest + _PLACE.pack(place))
                place += 1
                if len(run) == _RUN:
                    self._flush(runs, run, lengths)
        if run:
            self._flush(runs, run, lengths)
        self._bits = bytearray((place >> 3) + 1)
        return lengths

    def _flush(self, runs: int, run: list[bytes], lengths: list[int]) -> None:
        self.go_on()
        run.sort()
        _write_all(runs, run)
        lengths.append(len(run))
        run.clear()

    def _mark(self, place: int) -> None:
        self._bits[place >> 3] |= 1 << (place & 7)
        self.counts[bisect_right(self._starts, place) - 1] += 1

    def go_on(self) -> None:
        """Raise `CompactionStopped` when the process ends."""
        if self._stopping():
            raise CompactionStopped("a compaction was stopped")


def _entries(fd: int, offset: int, count: int) -> Iterator[bytes]:
    """The entries of a run, read in small pieces."""
    end = offset + count * _ENTRY
    while offset < end:
        data = os.pread(fd, min(_PIECE * _ENTRY, end - offset), offset)
        offset += len(data)
        for at in range(0, len(data), _ENTRY):
            yield data[at : at + _ENTRY]


def _write_all(fd: int, parts: Sequence[bytes]) -> int:
    data = memoryview(b"".join(parts))
    size = len(data)
    while data:
        data = data[os.write(fd, data) :]
    return size


class _Rewriting:
    """Puts compacted segments in the place of closed ones, several small ones into one."""

    def __init__(
        self, segments: Segments, found: Sequence[Segment], full: int, superseded: _Superseded
    ) -> None:
        self._segments = segments
        self._found = found
        self._enough = full // 2
        self._superseded = superseded

    def rewrite(self) -> int:
        """Do it; returns how large the closed segments are then."""
        size, index, closed = 0, 0, len(self._found) - 1
        while index < closed:
            segment = self._found[index]
            own, _ = segment.state()
            if segment.head.end and own >= self._enough and not self._superseded.counts[index]:
                size, index = size + own, index + 1  # nothing would change
                continue
            written, index = self._replace(index, closed)
            size += written
        return size

    def _replace(self, first: int, closed: int) -> tuple[int, int]:
        """Rewrite segments from `first` on until one is full enough; its size, and where to go on."""
        self._superseded.go_on()
        head = self._found[first].head
        temporary = self._segments.temporary(head.base, _UNFINISHED)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            size, records, index = _write_all(fd, [bytes(HEAD_SIZE)]), 0, first
            while index < closed and size < self._enough:
                added, count = self._copy(index, fd)
                size, records, index = size + added, records + count, index + 1
            end = self._found[index].head.base
            whole = Head(head.origin, head.base, head.before_ms, end, records)
            os.pwrite(fd, self._segments.head_bytes(whole), 0)
            os.fsync(fd)
            os.rename(temporary, self._segments.path(head.base))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        finally:
            os.close(fd)
        sync_folder(self._segments.folder)
        self._segments.remove([one.head.base for one in self._found[first + 1 : index]])
        return size, index

    def _copy(self, index: int, fd: int) -> tuple[int, int]:
        """Copy what is left of a segment; how many bytes and records that is."""
        size = records = held = 0
        parts: list[bytes] = []
        place = self._superseded.start(index)
        for record in _whole(self._found[index]):
            if place not in self._superseded:
                parts.append(record.data[record.begin - FRAME_SIZE : record.end])
                held += len(parts[-1])
                records += 1
            place += 1
            if held >= _BUFFER:
                self._superseded.go_on()
                size += _write_all(fd, parts)
                parts.clear()
                held = 0
        return size + _write_all(fd, parts), records
