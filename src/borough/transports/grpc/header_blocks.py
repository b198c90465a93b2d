"""Header blocks of a connection whose client has not yet taken our settings.

httpunk bounds what a block may be decoded to once the client has acknowledged that bound, which it may never do. Until
then a block that does not end costs 72 bytes for each of its own: it is bounded here, and counts as held until it ends.
"""

from __future__ import annotations

from collections.abc import Callable

from borough.transports.http.holding import Holding

__all__ = ["HeaderBlocks"]

_PREFACE_BYTES, _HEAD_BYTES = 24, 9
_HEADERS, _SETTINGS, _CONTINUATION = 1, 4, 9
_ACK, _END_HEADERS = 1, 4
_DECODED = 72
"""What a byte of a block may become: a field that was said before."""
_MOST_BYTES = 64 * 1024


class HeaderBlocks:
    """Follows what a client sends, until `is_over`: it has acknowledged our settings."""

    __slots__ = ("_block", "_drop", "_head", "_holding", "_skip", "is_over")

    def __init__(self, holding: Holding, drop: Callable[[], None]) -> None:
        self._holding = holding
        self._drop = drop
        self._head = bytearray()
        self._skip = _PREFACE_BYTES
        self._block = 0
        self.is_over = False

    def feed(self, data: bytes) -> bool:
        """Look at the next bytes; whether they may be read on."""
        at, head, end = 0, self._head, len(data)
        while at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
            else:
                step = min(_HEAD_BYTES - len(head), end - at)
                head += data[at : at + step]
                if len(head) == _HEAD_BYTES:
                    self._skip = int.from_bytes(head[:3])
                    if not self._take(head[3], head[4]) or self.is_over:
                        return self.is_over
                    head.clear()
            at += step
        return True

    def _take(self, kind: int, flags: int) -> bool:
        """A frame begins."""
        if kind == _SETTINGS and flags & _ACK:
            self.is_over = True
        elif kind in (_HEADERS, _CONTINUATION):
            self._block += self._skip
            if flags & _END_HEADERS:
                self._block = 0
                self._holding.release(self)
            elif self._block > _MOST_BYTES:
                return False
            else:
                self._holding.hold(self, self._block * _DECODED)
        return True

    def drop(self) -> None:
        """See `Slow`."""
        self._drop()

    def end(self) -> None:
        """Nothing more comes."""
        self._holding.release(self)
