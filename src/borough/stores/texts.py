"""The texts of statements, read once each.

A text is what a service has written down, so there are few; who makes ever new ones gets no worse than to have
them read again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["Texts"]

T = TypeVar("T")
_TEXTS = 2000


class Texts(dict[str, T]):
    """The texts a store has read, each as it is asked for. One more than it keeps, and it starts afresh.

    Raises what `read` does, `TransactionMisuse` for a text that is refused.
    """

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[str], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, sql: str) -> T:
        found = self._read(sql)
        if len(self) >= _TEXTS:
            self.clear()
        self[sql] = found
        return found
