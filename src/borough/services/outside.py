"""Calls to hosts that are no service of the system, and how they come to be seen."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["Outside"]


class Outside(Protocol):
    """Hosts that a service asks and that are no service, such as a card issuer: `outside: Outside`."""

    def asking(self, address: str, what: str, /) -> AbstractContextManager[None]:
        """What the block does is one request to `address` (`issuer.example`, or with its port); `what` names it, as
        `POST /charges`, without ids.

        It is a span below the call at hand, is counted, and stands on the console's map. An exception that leaves the
        block is its failure. For blocking work in a thread as well.
        """
        ...
