"""gRPC over HTTP/2 as it is written: messages with their length, time left, statuses in trailers."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import quote

from borough.errors import InvalidRequest, TooLarge

__all__ = [
    "HEADERS",
    "OK",
    "ROOM_BYTES",
    "head_of",
    "in_base64",
    "message_of",
    "messages_in",
    "read_timeout_s",
    "sentence_of",
    "trailers_of",
]

HEADERS = {"content-type": "application/grpc", "grpc-accept-encoding": "identity"}
OK = {"grpc-status": "0"}
_HEAD = 5
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])\Z")
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PLAIN = "".join(chr(number) for number in range(0x20, 0x7F) if chr(number) != "%")
_CUT = "..."
_MOST_OF_ONE = 4 * 3 + 6
"""What a character takes there: four bytes, once as %XX and once in base64."""
ROOM_BYTES = 7 * 1024 + 512
"""For what is said of a problem: a caller takes 8 KiB of trailers unless it asks for more."""


def head_of(message: bytes) -> bytes:
    """What goes ahead of a message."""
    return b"\0" + len(message).to_bytes(4, "big")


def message_of(body: bytes) -> bytes:
    """The one message of a request. Raises `InvalidRequest`."""
    size = len(body) - _HEAD
    if size < 0 or body[0] or int.from_bytes(body[1:_HEAD], "big") != size:
        if body[:1] == b"\1":
            raise InvalidRequest("Compressed messages are not taken: send it with identity")
        raise InvalidRequest("The request is not exactly one message with its length")
    return body[_HEAD:]


def messages_in(data: bytearray, limit: int) -> list[bytes]:
    """Take the whole messages off the beginning. Raises `InvalidRequest` and `TooLarge`."""
    found: list[bytes] = []
    at = 0
    while len(data) - at >= _HEAD:
        size = int.from_bytes(data[at + 1 : at + _HEAD], "big")
        if data[at]:
            raise InvalidRequest("Compressed messages are not taken: send it with identity")
        if size > limit:
            raise TooLarge(f"The message is above {limit} bytes")
        begin = at + _HEAD
        if len(data) < begin + size:
            break
        at = begin + size
        found.append(bytes(data[begin:at]))
    del data[:at]
    return found


def read_timeout_s(value: bytes) -> float:
    """The time left in `grpc-timeout`, in seconds. Raises `InvalidRequest`."""
    found = _TIMEOUT.match(value)
    if found is None:
        raise InvalidRequest("grpc-timeout must be up to eight digits and one of H, M, S, m, u, n")
    return int(found[1]) * _UNITS[found[2]]


def sentence_of(text: str, room: int = ROOM_BYTES) -> str:
    """What of a sentence fits into so many bytes of trailers: it stands in the message and in the details."""
    if _MOST_OF_ONE * len(text) <= room:
        return text
    left, fits = room, 0
    for at, character in enumerate(text):
        left -= len(quote(character, safe=_PLAIN)) + in_base64(len(character.encode()))
        if left < 0:
            return text[:fits] + _CUT
        if left >= 3 * len(_CUT):
            fits = at + 1
    return text


def in_base64(size: int) -> int:
    """How many bytes as text so many become, at most."""
    return (4 * size + 2) // 3


def trailers_of(
    code: int, sentence: str, details: bytes = b"", pushback_ms: int | None = None
) -> dict[str, str]:
    """How a call ends that has no answer; `pushback_ms` below 0: not to be sent again."""
    fields = {"grpc-status": str(code), "grpc-message": quote(sentence, safe=_PLAIN)}
    if details:
        fields["grpc-status-details-bin"] = b64encode(details).rstrip(b"=").decode()
    if pushback_ms is not None:
        fields["grpc-retry-pushback-ms"] = str(pushback_ms)
    return fields
