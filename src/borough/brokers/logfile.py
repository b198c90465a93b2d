"""The file format of an embedded event log: a head, then framed records, only ever appended to.

The head carries a base that grows with the time of creation. Positions are base plus offset, so a
position of a removed log lies before everything in its successor. A frame names the offset where
its batch began, and a batch is on disk before the next one starts: damage followed by frames of a
later batch is therefore real damage, anything else at the end is a torn tail. The writer cuts a
torn tail off, a reader waits before it, and both refuse damage.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from borough.errors import BrokerError
from borough.ports import LONGEST_EVENT, Delivery, Message

__all__ = ["LogReader", "LogWriter"]

_HEAD: Final = struct.Struct("<8sQ")
_HEAD_MAGIC: Final = b"BOROUGH1"
_FRAME: Final = struct.Struct("<4sIIQ")
_FRAME_MAGIC: Final = b"\xff\xfeB1"  # no UTF-8 text contains it, so a search for it finds frames
_LONGEST_RECORD: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024
_TAIL: Final = 1024 * 1024
_REMEMBERED: Final = 2000
_SCANNED: Final = 1000  # records of any topic in one go; then others have their turn

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, str, str | None, int, bytes]).decode
_sync = getattr(os, "fdatasync", os.fsync)


def _frame(message: Message, batch: int) -> bytes:
    payload = _encode(
        (message.id, message.topic, message.type, message.key, message.sequence, message.body)
    )
    return _FRAME.pack(_FRAME_MAGIC, len(payload), zlib.crc32(payload), batch) + payload


def _frames(data: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """The whole frames from `start` on: payload start, end and batch.

    Stops at the first that is not.
    """
    size = len(data)
    while size - start >= _FRAME.size:
        magic, length, check, batch = _FRAME.unpack_from(data, start)
        begin = start + _FRAME.size
        if magic != _FRAME_MAGIC or size - begin < length:
            return
        if zlib.crc32(memoryview(data)[begin : begin + length]) != check:
            return
        start = begin + length
        yield begin, start, batch


def _message(data: bytes, begin: int, end: int) -> Message:
    event_id, topic, kind, key, sequence, body = _decode(memoryview(data)[begin:end])
    return Message(event_id, topic, kind, key, sequence, body)


def _read_base(fd: int) -> int:
    """The base in the head; 0 while there is no whole head."""
    head = os.pread(fd, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return 0
    magic, base = _HEAD.unpack(head)
    return int(base) if magic == _HEAD_MAGIC else 0


def _whole_frame(fd: int, at: int) -> int | None:
    """The batch of the frame at `at`, None where no whole frame is."""
    head = os.pread(fd, _FRAME.size, at)
    if len(head) < _FRAME.size:
        return None
    length = min(_FRAME.unpack(head)[1], _LONGEST_RECORD)
    for _, _, batch in _frames(os.pread(fd, _FRAME.size + length, at), 0):
        return batch
    return None


def _find_frame(fd: int, start: int, size: int) -> tuple[int, int] | None:
    """The first whole frame at or after `start`, and its batch.

    It may be anywhere before `size`.
    """
    while start < size:
        data = os.pread(fd, _CHUNK, start)
        at = data.find(_FRAME_MAGIC)
        while at >= 0:
            batch = _whole_frame(fd, start + at)
            if batch is not None:
                return start + at, batch
            at = data.find(_FRAME_MAGIC, at + 1)
        if len(data) < _FRAME.size:
            return None
        start += len(data) - len(_FRAME_MAGIC) + 1
    return None


def _refuse_damage(fd: int, path: Path, at: int, size: int) -> None:
    """Raise `BrokerError` when what stands at `at` was once whole.

    Return when it is a torn tail.
    """
    later = _find_frame(fd, at + 1, size)
    while later is not None and later[1] <= at:
        later = _find_frame(fd, later[0] + 1, size)
    if later is not None:
        raise BrokerError(f"{path} is damaged at byte {at}; restore it from a backup")


class LogReader:
    """Reads a log from a position on; the file may not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._base = 0
        self._offset = _HEAD.size
        self.more = False

    @property
    def position(self) -> int:
        """All up to here has been read; 0 while there is no log."""
        return self._base + self._offset if self._base else 0

    def seek(self, position: int) -> None:
        """Read from `position` on. Raises `BrokerError` for damage.

        That is the start where it belongs to an earlier log, and the end where the log has lost
        what its writer will append again.
        """
        if not self._opened():
            return
        wanted = position - self._base
        size = os.fstat(self._fd).st_size
        if wanted <= _HEAD.size:
            return
        if wanted != size and _whole_frame(self._fd, wanted) is None:
            end, _ = last_whole(self._fd, self._path, size)
            if wanted < end:
                raise BrokerError(f"position {position} is not one of {self._path}")
            wanted = end
        self._offset = wanted

    def find_end(self) -> int:
        """The position behind the last whole record, 0 for an empty log.

        The reader is then there.
        """
        if not self._opened():
            return 0
        size = os.fstat(self._fd).st_size
        if size - self._offset > _TAIL:
            self._offset, _ = last_whole(self._fd, self._path, size)
        else:
            for _ in self._scan():
                pass
        return self.position if self._offset > _HEAD.size else 0

    def _scan(self) -> Iterator[tuple[bytes, int, int]]:
        """Each whole record from here on; the reader stands behind the one that was yielded."""
        want = _CHUNK
        while True:
            start = self._offset
            left = os.fstat(self._fd).st_size - start
            if left <= 0:
                return
            data = os.pread(self._fd, min(want, left), start)
            for begin, end, _ in _frames(data, 0):
                self._offset = start + end
                yield data, begin, end
            if self._offset > start:
                want = _CHUNK
                continue
            want = self._wider(data, want)
            if not want:
                return

    def _wider(self, data: bytes, want: int) -> int:
        """How much to read in order to see the next record whole; 0 when it is not there (yet)."""
        size = os.fstat(self._fd).st_size
        if len(data) >= _FRAME.size:
            magic, length, _, _ = _FRAME.unpack_from(data, 0)
            needed = int(length) + _FRAME.size
            if magic == _FRAME_MAGIC and length <= _LONGEST_RECORD and needed > want:
                return needed if self._offset + needed <= size else 0
        _refuse_damage(self._fd, self._path, self._offset, size)
        return 0

    def read(self, topic: str, limit: int) -> list[Delivery]:
        """The next records of `topic`, at most `limit`; `more` says whether to read on at once."""
        found: list[Delivery] = []
        self.more = False
        if not self._opened():
            return found
        for seen, (data, begin, end) in enumerate(self._scan(), 1):
            message = _message(data, begin, end)
            if message.topic == topic:
                found.append(Delivery(message, self.position))
            if len(found) >= limit or seen >= _SCANNED:
                self.more = True
                break
        return found

    def _opened(self) -> bool:
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise BrokerError(f"{self._path} cannot be read: {error.strerror}") from error
        if not self._base:
            self._base = _read_base(self._fd)
        return self._base > 0

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def last_whole(fd: int, path: Path, size: int) -> tuple[int, list[str]]:
    """The end of the last whole record, and the latest ids. Raises `BrokerError` for damage."""
    back = _TAIL
    while True:
        start = max(_HEAD.size, size - back)
        found = (start, 0) if start == _HEAD.size else _find_frame(fd, start, size)
        if found is not None:
            break
        back *= 4
    at = found[0]
    ids: list[str] = []
    data = os.pread(fd, size - at, at)
    end = 0
    for begin, end, _ in _frames(data, 0):
        ids.append(_message(data, begin, end).id)
    if at + end < size:
        _refuse_damage(fd, path, at + end, size)
    return at + end, ids[-_REMEMBERED:]


def _refuse_too_long(messages: Sequence[Message]) -> None:
    """Raise `BrokerError` for an event of a length that no reader is promised to take."""
    for message in messages:
        if len(message.body) > LONGEST_EVENT:
            raise BrokerError(
                f"event {message.id} of {message.topic} has {len(message.body)} bytes, "
                f"an event at most {LONGEST_EVENT}"
            )


class LogWriter:
    """Appends batches to a log; used from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._end = -1
        self._recent: OrderedDict[str, None] = OrderedDict()

    def append(self, messages: Sequence[Message], now_s: float) -> bool:
        """Append what is not there yet and wait for the disk; False while another process writes.

        `now_s` (seconds since 1970) becomes the base of a new log. Raises `BrokerError` when the
        file refuses or an event is longer than `LONGEST_EVENT`, and leaves it as it was.
        """
        _refuse_too_long(messages)
        try:
            self._opened()
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            try:
                self._recover()
                self._write([m for m in messages if m.id not in self._recent], now_s)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            raise BrokerError(f"{self._path} cannot be written: {error.strerror}") from error
        for message in messages:
            self._recent[message.id] = None
            self._recent.move_to_end(message.id)
        while len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return True

    def _opened(self) -> None:
        if (
            self._fd >= 0 and os.fstat(self._fd).st_nlink == 0
        ):  # the log was removed: begin a new one
            self.close()
        if self._fd < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(self._path, flags, 0o644)
            self._end = -1

    def _recover(self) -> None:
        """Look at what another process, or an earlier life of this one, has left."""
        size = os.fstat(self._fd).st_size
        if size == self._end:
            return
        if not _read_base(self._fd):
            if _find_frame(self._fd, 0, size) is not None:
                raise BrokerError(f"{self._path} has a damaged head; restore it from a backup")
            os.ftruncate(self._fd, 0)
            self._end = 0
            return
        self._end, ids = last_whole(self._fd, self._path, size)
        self._recent = OrderedDict.fromkeys(ids)
        if self._end < size:
            os.ftruncate(self._fd, self._end)

    def _write(self, messages: Sequence[Message], now_s: float) -> None:
        if not messages:
            return
        start = self._end
        batch = max(start, _HEAD.size)
        parts = [_frame(message, batch) for message in messages]
        if start == 0:
            # 2 GiB for each second between the creation of a log and that of its successor
            parts.insert(0, _HEAD.pack(_HEAD_MAGIC, int(now_s) << 31))
        data = b"".join(parts)
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._fd, memoryview(data)[written:], start + written)
            _sync(self._fd)
            if start == 0:
                self._sync_folder()
        except OSError:
            # After a failed sync the pages may count as clean: cut them off and write them anew.
            self._end = -1
            os.ftruncate(self._fd, start)
            raise
        self._end = start + len(data)

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Release the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._end = -1
