"""Makes requests that nobody has thought of: vectors joined, then bent a little. A seed gives the same."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

__all__ = ["Mutations"]

_TOKENS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b";", b",", b"\x0b", b"\xff",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: x\r\n",
    b"Connection: close\r\n", b"Transfer-Encoding: identity\r\n", b"Upgrade: h2c\r\n", b" chunked",
    b"0\r\n\r\n", b"5\r\nabcde\r\n", b"1;a=b\r\nx\r\n", b"0\r\nA: b\r\n\r\n", b"GET / HTTP/1.1\r\n",
    b"HTTP/1.0", b"HTTP/1.1", b"POST", b"HEAD", b"0x", b"+", b"-", b"_", b"00", b"\r\n ", b"%2e%2e/", b"//",
)  # fmt: skip
_SWAPS = (
    (b"HTTP/1.1", b"HTTP/1.0"), (b"GET", b"POST"), (b"POST", b"GET"), (b"\r\n", b"\n"), (b": ", b":"),
    (b": ", b" : "), (b"Host", b"host"), (b"chunked", b"Chunked"), (b"Content-Length", b"content-length"),
    (b"Transfer-Encoding", b"Content-Length"), (b"Content-Length", b"Transfer-Encoding"),
    (b"\r\n\r\n", b"\r\n"), (b"GET", b"HEAD"), (b"chunked", b"identity"), (b"/", b"http://x/"), (b"3", b"4"),
    (b"abc", b"GET"), (b"\r\n", b"\r\n\r\n"), (b"x", b"y"), (b"close", b"keep-alive"),
)  # fmt: skip
_NUMBER = re.compile(rb"[0-9]+")
_MOST_BYTES = 6_000


class Mutations:
    """Cases from a corpus, each from a number."""

    def __init__(self, corpus: Sequence[bytes], good: Sequence[bytes]) -> None:
        self._corpus = [each for each in corpus if len(each) <= _MOST_BYTES]
        self._good = [each for each in good if len(each) <= _MOST_BYTES]
        self._bends: tuple[Callable[[random.Random, bytes], bytes], ...] = (
            _flip, _replace, _cut, _repeat, _insert, _insert, _swap, _swap, _count, _move_line,
            self._splice,
        )  # fmt: skip

    def case(self, number: int) -> bytes:
        """The case of this number: often good requests around a bent one."""
        chance = random.Random(number)
        parts = [chance.choice(self._good) for _ in range(chance.choice((0, 0, 1, 1, 2, 5)))]
        bent = chance.choice(self._corpus if chance.random() < 0.6 else self._good)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            bent = chance.choice(self._bends)(chance, bent)
        parts.append(bent)
        parts += [chance.choice(self._good) for _ in range(chance.choice((0, 0, 1, 1, 2)))]
        data = b"".join(parts)
        if chance.random() < 0.1:
            data = data[: chance.randrange(len(data) + 1)]
        return data[:_MOST_BYTES] or b"\r\n"

    def _splice(self, chance: random.Random, data: bytes) -> bytes:
        other = chance.choice(self._corpus)
        return data[: _place(chance, data)] + other[_place(chance, other) :]


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _flip(chance: random.Random, data: bytes) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _replace(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + chance.choice(_TOKENS) + data[at + 1 :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    return data[:at] + data[at + chance.choice((1, 1, 2, 5, 20)) :]


def _repeat(chance: random.Random, data: bytes) -> bytes:
    at = _place(chance, data)
    end = at + chance.choice((1, 2, 10, 40))
    return data[:end] + data[at:]


def _insert(chance: random.Random, data: bytes) -> bytes:
    ends = [match.end() for match in re.finditer(rb"\r\n", data)]
    at = chance.choice(ends) if ends and chance.random() < 0.5 else _place(chance, data)
    return data[:at] + chance.choice(_TOKENS) + data[at:]


def _swap(chance: random.Random, data: bytes) -> bytes:
    usable = [(old, new) for old, new in _SWAPS if old in data]
    if not usable:
        return data
    old, new = chance.choice(usable)
    starts = [match.start() for match in re.finditer(re.escape(old), data)]
    at = chance.choice(starts)
    return data[:at] + new + data[at + len(old) :]


def _count(chance: random.Random, data: bytes) -> bytes:
    """Change a number by a little."""
    numbers = list(_NUMBER.finditer(data))
    if not numbers:
        return data
    found = chance.choice(numbers)
    number = max(0, int(found[0][:9]) + chance.choice((-1, 1, 2, 10)))
    return data[: found.start()] + b"%d" % number + data[found.end() :]


def _move_line(chance: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randrange(len(lines) + 1), line)
    return b"\r\n".join(lines)
