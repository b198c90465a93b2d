"""Who holds a role: a lease with an epoch that grows with every taking.

A lease that has run out may be taken by anybody; its last holder may not know that yet (it was
paused, its clock is off). So time only says who may try, and the epoch says whose writes count:
each effect of a role checks its epoch in the effect's own transaction. Rows are never deleted, so
epochs never repeat. A lease that seems to last longer than any lease does was written before a
clock was set back, and counts as run out.
"""

from __future__ import annotations

import msgspec

from borough.errors import BoroughError

__all__ = ["Lease", "LeaseLost", "LeaseRow", "Terms", "lease_terms", "take"]


class LeaseLost(BoroughError):
    """Another process holds this role now; nothing of this transaction is kept.

    It is not an error of the work.
    """


class LeaseRow(msgspec.Struct, frozen=True):
    """What the database says about a role; `until` is wall-clock time in seconds since 1970."""

    role: str
    owner: str
    epoch: int
    until: float


class Terms(msgspec.Struct, frozen=True):
    """How long a lease lasts without a renewal, and how often it is renewed."""

    lasting_s: float = 6.0
    renewal_s: float = 2.0


def lease_terms(lasting_s: float) -> Terms:
    """Terms for leases of a length: two renewals may fail before one runs out."""
    return Terms(lasting_s, lasting_s / 3)


class Lease:
    """A role as its holder believes to have it; `until` is on the monotonic clock of the holder.

    `after_crash`: the holder before did not give it back, and may have left work half done.
    """

    __slots__ = ("after_crash", "epoch", "owner", "role", "until")

    def __init__(
        self, role: str, owner: str, epoch: int, until: float, *, after_crash: bool = False
    ) -> None:
        self.role = role
        self.owner = owner
        self.epoch = epoch
        self.until = until
        self.after_crash = after_crash

    def believed(self, now: float) -> bool:
        """Whether the holder may still think that the role is its own.

        Never a reason to skip the epoch check.
        """
        return now < self.until


def take(row: LeaseRow | None, role: str, owner: str, now: float, terms: Terms) -> LeaseRow | None:
    """The row to write in order to take the role, None while it is another's.

    Taking one's own role anew raises the epoch too: it fences what the past self has left running.
    """
    if row is None:
        return LeaseRow(role, owner, 1, now + terms.lasting_s)
    # The clocks of two machines may differ by a renewal; no lease is longer than that.
    longest = now + terms.lasting_s + terms.renewal_s
    if now < row.until <= longest and row.owner != owner:
        return None
    return LeaseRow(role, owner, row.epoch + 1, now + terms.lasting_s)
