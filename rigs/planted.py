"""Starts the product with a fault planted in it: `python -m rigs.planted FAULT run PATH ...`.

The product has no branch for this: its functions are replaced in this process before it starts.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from borough.cli import main
from borough.ports import Message
from borough.reliability.lease import Lease
from borough.runtime.handling import Handling, Outcome
from borough.stores.sqlite.writer import Writer

LAG_S = 0.05


def replace(owner: Any, name: str, function: Any) -> None:
    """Put a function in the place of the product's."""
    setattr(owner, name, function)


def forget_the_inbox() -> None:
    """What has been handled is noted as ever, and handled again when it comes again."""
    enter = Handling._enter

    async def always(
        self: Handling, tx: Any, message: Message, lease: Lease, key: str | None
    ) -> Outcome:
        outcome = await enter(self, tx, message, lease, key)
        return Outcome.DONE if outcome is Outcome.DUPLICATE else outcome

    replace(Handling, "_enter", always)


def acknowledge_before_commit() -> None:
    """Who waits for the witness to commit is told that it has, and then it begins to.

    Nobody reads there what was just written: only a crash shows it.
    """
    commit: Any = Writer._commit

    def end(self: Any) -> None:
        if not self._members or not self._path.endswith("witness.db"):
            original(self)
            return
        members, self._members = self._members, []
        for body in members:
            body.settle(None)
        self._away = True
        events = [row for body in members for row in body.outbox]
        self.worker.submit(lambda: late(self, events), self._committed)

    def late(self: Any, events: Any) -> Any:
        time.sleep(LAG_S)
        return commit(self, events)

    original: Any = Writer._end
    replace(Writer, "_end", end)


FAULTS = {"inbox": forget_the_inbox, "acknowledged": acknowledge_before_commit}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
