"""The files of one topic's log: segments, each named by the number of its first record.

A segment begins with a head and is appended to while it is the last; its successor begins where it
ends. A compacted one says itself where it ends, and may reach over its former neighbours: until
those are removed they hold nothing that is missing elsewhere. Files come into being under another
name, whole and on disk before they are renamed, and are removed oldest first: whoever reads one
that is still there finds the next one there too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from borough.brokers.embedded.frames import find_frame, read_id, scan_records
from borough.errors import BrokerError

__all__ = [
    "HEAD_SIZE",
    "SET_BACK_MS",
    "Head",
    "Segment",
    "Segments",
    "Tail",
    "sync_file",
    "sync_folder",
]

_HEAD: Final = struct.Struct("<8sQQQQQI")
_MAGIC: Final = b"BOROUGH2"
_CHECK: Final = struct.Struct("<I")
_SUFFIX: Final = ".log"
_DIGITS: Final = 20
_TAIL: Final = 1024 * 1024
_REMEMBERED: Final = 2000
_PIECE: Final = 1024 * 1024
_NEAR: Final = 64 * 1024

HEAD_SIZE: Final = _HEAD.size + _CHECK.size
SET_BACK_MS: Final = 30 * 86_400_000
"""Times of records fall only where a clock is set back by more than that: before or since, it was wrong."""

sync_file = getattr(os, "fdatasync", os.fsync)


def sync_folder(folder: Path) -> None:
    """Make durable which files are in a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Head(NamedTuple):
    """What a segment says of itself: numbers, and the time of the last record before it.

    `origin` is where the log began, `base` where the segment does. A compacted one says where it
    ends and how many `records` it has; both are 0 in one that was only appended to.
    """

    origin: int
    base: int
    before_ms: int
    end: int = 0
    records: int = 0


class Tail(NamedTuple):
    """Where the whole records of a segment end: offset, next number, time of the last, latest ids.

    `batch` is the offset of its last batch.
    """

    offset: int
    number: int
    time_ms: int
    ids: Sequence[str]
    batch: int = 0


class Segment:
    """An open segment file."""

    __slots__ = ("fd", "head", "path")

    def __init__(self, path: str, fd: int, head: Head) -> None:
        self.path = path
        self.fd = fd
        self.head = head

    def state(self) -> tuple[int, bool]:
        """Its size, and whether it is still one of the log's files."""
        found = os.fstat(self.fd)
        return found.st_size, found.st_nlink > 0

    def first_time_ms(self) -> int | None:
        """The time of its first record, None while there is none."""
        for record in scan_records(self.fd, HEAD_SIZE, self.state()[0]):
            return record.time_ms
        return None

    def find(self, number: int, size: int) -> tuple[int, int]:
        """The offset of the first record from `number` on, and the number to expect there.

        That is the end of what is whole where there is none.
        """
        low, high = HEAD_SIZE, size
        while number > self.head.base and high - low > _NEAR:
            middle = (low + high) // 2
            found = find_frame(self.fd, middle, high)
            if found is None or found.number >= number:
                high = middle
            else:
                low = found.offset
        expected = self.head.base
        for record in scan_records(self.fd, low, size) if number > expected else ():
            if record.number >= number:
                break
            low, expected = record.after, record.number + 1
        return low, max(expected, number) if self.head.end else expected

    def tail(self, size: int) -> Tail:
        """The end of its whole records. Raises `BrokerError` for damage."""
        back = _TAIL
        while True:
            start = max(HEAD_SIZE, size - back)
            found = None if start == HEAD_SIZE else find_frame(self.fd, start, size)
            back *= 4
            if found is None and start > HEAD_SIZE:
                continue
            tail, begins = self._tail_from(start if found is None else found.offset, size)
            if start == HEAD_SIZE or (found is not None and begins >= found.number):
                break  # the last batch has been seen whole
        if tail.offset < size:
            self.refuse_damage(tail.offset, tail.number, size)
        return tail

    def _tail_from(self, offset: int, size: int) -> tuple[Tail, int]:
        """The tail as seen from `offset` on, and the number of the first record of its last batch."""
        ids: list[str] = []
        batch = offset
        number, back, time_ms = self.head.base, 0, self.head.before_ms
        for record in scan_records(self.fd, offset, size):
            if not record.back:
                batch = offset
            ids.append(read_id(record.data, record.begin, record.end))
            offset, number, back, time_ms = (
                record.after, record.number + 1, record.back, record.time_ms,
            )  # fmt: skip
        kept = ids[-max(_REMEMBERED, back + 1) :]
        begins = max(self.head.base, number - 1 - back)
        return Tail(offset, number, time_ms, kept, batch), begins

    def write_again(self, start: int, stop: int) -> None:
        """Let the disk have these bytes anew: after a failed sync memory counts them as clean."""
        while start < stop:
            data = os.pread(self.fd, min(_PIECE, stop - start), start)
            if not data:
                return
            start += os.pwrite(self.fd, data, start)

    def refuse_damage(self, offset: int, number: int, size: int) -> None:
        """Raise `BrokerError` when the record `number` at `offset` was once whole.

        Return when it is a torn tail.
        """
        later = find_frame(self.fd, offset + 1, size)
        while later is not None and later.batch <= number:
            later = find_frame(self.fd, later.offset + 1, size)
        if later is not None:
            raise self.damaged(offset)

    def damaged(self, offset: int) -> BrokerError:
        """What to raise about bytes that cannot be read."""
        return BrokerError(f"{self.path} is damaged at byte {offset}; restore it from a backup")

    def close(self) -> None:
        """Release the file."""
        os.close(self.fd)


class Segments:
    """The segments of one topic in its folder, which may not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prefix = f"{folder}{os.sep}"
        self._topic = zlib.crc32(folder.name.encode())

    def bases(self) -> list[int]:
        """The first number of each segment, in order. Raises `BrokerError`."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self.folder, error) from error
        return sorted(
            int(name[:_DIGITS])
            for name in names
            if len(name) == _DIGITS + len(_SUFFIX)
            and name.endswith(_SUFFIX)
            and name[:_DIGITS].isdecimal()
        )

    def path(self, base: int) -> str:
        """Where the segment with this first number is."""
        return f"{self._prefix}{base:0{_DIGITS}d}{_SUFFIX}"

    def open(self, base: int, flags: int = os.O_RDONLY) -> Segment | None:
        """The segment with this first number; None where there is none. Raises `BrokerError`."""
        path = self.path(base)
        try:
            fd = os.open(path, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            return Segment(path, fd, self._head(path, fd, base))
        except BaseException:
            os.close(fd)
            raise

    def _head(self, path: str, fd: int, base: int) -> Head:
        data = os.pread(fd, HEAD_SIZE, 0)
        if len(data) == HEAD_SIZE and data.startswith(_MAGIC):
            _, origin, found, before_ms, end, records, topic = _HEAD.unpack_from(data)
            if _CHECK.unpack_from(data, _HEAD.size)[0] == zlib.crc32(data[: _HEAD.size]):
                if topic != self._topic or found != base:
                    raise BrokerError(
                        f"{path} is a part of another log; it was moved, or two topics have "
                        "names that this file system does not tell apart"
                    )
                return Head(origin, found, before_ms, end, records)
        raise BrokerError(f"{path} has a damaged head; restore it from a backup")

    def head_bytes(self, head: Head) -> bytes:
        """The head as it stands in the file."""
        data = _HEAD.pack(
            _MAGIC, head.origin, head.base, head.before_ms, head.end, head.records, self._topic
        )
        return data + _CHECK.pack(zlib.crc32(data))

    def create(self, head: Head) -> None:
        """Make an empty segment, durable when it returns. Only under the topic's lock."""
        temporary = self.temporary(head.base, "new")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                os.write(fd, self.head_bytes(head))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, self.path(head.base))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(self.folder)

    def temporary(self, base: int, purpose: str) -> str:
        """The name of a segment that is not whole yet."""
        return f"{self.path(base)}.{purpose}"

    def clean(self, purpose: str) -> None:
        """Remove what was left unfinished under such a name. Only under the lock of its makers."""
        for path in self.folder.glob(f"*{_SUFFIX}.{purpose}"):
            path.unlink(missing_ok=True)

    def remove(self, bases: Sequence[int]) -> None:
        """Remove segments, oldest first."""
        for base in sorted(bases):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(base))
        if bases:
            sync_folder(self.folder)


def _unreadable(path: str | Path, error: OSError) -> BrokerError:
    are_too_many = error.errno in (errno.EMFILE, errno.ENFILE)
    remedy = "; look at how many files may be open (`ulimit -n`)" if are_too_many else ""
    return BrokerError(f"{path} cannot be read: {error.strerror}{remedy}")
