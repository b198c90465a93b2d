"""The little of the protobuf wire format that OTLP needs: tags, lengths, and reading them again."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

__all__ = ["Unreadable", "delimited", "fields", "text", "varint"]

_SMALL = tuple(bytes([number]) for number in range(128))
_LITTLE = Struct("<Q").unpack_from, Struct("<I").unpack_from


class Unreadable(ValueError):
    """The bytes are no message."""


def varint(number: int) -> bytes:
    """An unsigned number; a negative one as its 64-bit two's complement."""
    if 0 <= number < 128:
        return _SMALL[number]
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field: int, body: bytes) -> bytes:
    """A field of a known length: bytes, a string, a message."""
    length = len(body)
    if length < 128 and field < 16:
        return b"%c%c%b" % (field << 3 | 2, length, body)
    return b"%b%b%b" % (varint(field << 3 | 2), varint(length), body)


def text(field: int, value: str) -> bytes:
    """A string field. What is no Unicode scalar (a lone surrogate) is replaced."""
    return delimited(field, value.encode("utf-8", "replace"))


def fields(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: number, and a number or the bytes. Raises `Unreadable`."""
    end = len(data) if end is None else end
    try:
        while at < end:
            tag, at = _read_varint(data, at)
            number, kind = tag >> 3, tag & 7
            if kind == 2:
                length, at = _read_varint(data, at)
                if at + length > end:
                    raise Unreadable("a field is longer than its message")
                yield number, data[at : at + length]
                at += length
            elif kind == 0:
                value, at = _read_varint(data, at)
                yield number, value
            elif kind == 1:
                yield number, _LITTLE[0](data, at)[0]
                at += 8
            elif kind == 5:
                yield number, _LITTLE[1](data, at)[0]
                at += 4
            else:
                raise Unreadable(f"wire type {kind} is none of protobuf 3")
    except (IndexError, ArithmeticError) as error:
        raise Unreadable("the message breaks off") from error
    except Exception as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"the message cannot be read: {error}") from error


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    value, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise Unreadable("a number has more than 64 bits")
