"""How a record lies in a segment file: a head with length, checksum, number and time, then MessagePack.

A number counts the records of a topic over its whole life. A frame says how many records of its
batch stand before it, and a batch is on disk before the next one starts: damage that is followed by
a frame of a later batch is therefore real damage, anything else at the end is a torn tail.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

import msgspec

from borough.ports import Message

__all__ = [
    "FRAME_SIZE",
    "Found",
    "Record",
    "batch_frames",
    "find_frame",
    "read_id",
    "read_message",
    "read_names",
    "scan_records",
]

_HEAD: Final = struct.Struct("<4sIIIQQ")  # magic, length, checksum of all behind it, then `_FACTS`
_START: Final = struct.Struct("<4sII")
_FACTS: Final = struct.Struct("<IQQ")  # records of the batch before this one, number, milliseconds
_CHECKED: Final = _START.size
_MAGIC: Final = b"\xff\xfeB2"  # no UTF-8 text contains it, so a search for it finds frames

FRAME_SIZE: Final = _HEAD.size
_LONGEST_RECORD: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str, str | None, int, int, bytes]).decode
_decode_names = msgspec.msgpack.Decoder(
    tuple[str, str, str | None, msgspec.Raw, msgspec.Raw, msgspec.Raw]
).decode


class Found(NamedTuple):
    """A whole frame in a file: its offset, the record's number, and the first of its batch."""

    offset: int
    number: int
    batch: int


def batch_frames(messages: Sequence[Message], number: int, time_ms: int) -> list[bytes]:
    """The frames of one batch whose first record has this number."""
    parts: list[bytes] = []
    for back, message in enumerate(messages):
        m = message
        payload = _encode((m.id, m.type, m.key, m.sequence, m.previous, m.body))
        checked = _FACTS.pack(back, number + back, time_ms) + payload
        parts.append(_START.pack(_MAGIC, len(payload), zlib.crc32(checked)))
        parts.append(checked)
    return parts


class Record(NamedTuple):
    """A whole record as it is scanned: its payload in `data`, and the offset behind it in the file."""

    data: bytes
    begin: int
    end: int
    number: int
    back: int
    time_ms: int
    after: int


_Fields = tuple[bytes, int, int, int, int, int, int]
_Make = Callable[[type[Record], _Fields], Record]


def scan_records(fd: int, start: int, stop: int) -> Iterator[Record]:
    """The whole records from offset `start` on, before `stop`; ends at the first that is not whole."""
    unpack, crc32 = _HEAD.unpack_from, zlib.crc32
    # Half the time of `Record(...)`.
    new = cast("_Make", tuple.__new__)  # pyright: ignore[reportUnknownMemberType]
    want = _CHUNK
    while start < stop:
        asked = min(want, stop - start)
        data = os.pread(fd, asked, start)
        size, at, view = len(data), 0, memoryview(data)
        if size < asked:
            stop = start + size  # the file ends before: what is missing of a record will not come
        while size - at >= FRAME_SIZE:
            magic, length, check, back, number, time_ms = unpack(data, at)
            begin = at + FRAME_SIZE
            end = begin + length
            if magic != _MAGIC or end > size or crc32(view[at + _CHECKED : end]) != check:
                break
            at = end
            yield new(Record, (data, begin, end, number, back, time_ms, start + end))
        start += at
        # Nothing whole was there: it may be a record longer than what is read at once.
        want = _CHUNK if at else _record_size(data)
        if not at and not size < want <= stop - start:
            return


def read_message(data: bytes, begin: int, end: int, topic: str) -> Message:
    """The message between these offsets."""
    event_id, kind, key, sequence, previous, body = _decode(memoryview(data)[begin:end])
    return Message(event_id, topic, kind, key, sequence, body, previous)


def read_id(data: bytes, begin: int, end: int) -> str:
    """The id of the message between these offsets."""
    return _decode_names(memoryview(data)[begin:end])[0]


def read_names(data: bytes, begin: int, end: int) -> tuple[str, str | None]:
    """The type and the key of the message between these offsets."""
    return _decode_names(memoryview(data)[begin:end])[1:3]


def _record_size(head: bytes) -> int:
    """How many bytes the record that begins so takes; 0 where no record begins."""
    if len(head) < FRAME_SIZE:
        return 0
    magic, length = _START.unpack_from(head)[:2]
    return FRAME_SIZE + int(length) if magic == _MAGIC and length <= _LONGEST_RECORD else 0


def _frame_at(fd: int, offset: int) -> Found | None:
    """The frame that begins at `offset`, None where no whole one does."""
    size = _record_size(os.pread(fd, FRAME_SIZE, offset))
    for record in scan_records(fd, offset, offset + size):
        return Found(offset, record.number, record.number - record.back)
    return None


def find_frame(fd: int, start: int, stop: int) -> Found | None:
    """The first whole frame that begins at or after `start` and before `stop`."""
    while start < stop:
        data = os.pread(fd, _CHUNK, start)
        at = data.find(_MAGIC)
        while 0 <= at < stop - start:
            found = _frame_at(fd, start + at)
            if found is not None:
                return found
            at = data.find(_MAGIC, at + 1)
        if len(data) < FRAME_SIZE:
            return None
        start += len(data) - len(_MAGIC) + 1
    return None
