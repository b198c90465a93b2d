"""Starts the product with a fault planted in it: `python -m rigs.planted FAULT run PATH ...`.

The product has no branch for this: its functions are replaced in this process before it starts.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from borough.cli import main
from borough.reliability.lease import Lease
from borough.runtime.handling import Handling
from borough.stores.sqlite.writer import Writer

LAG_S = 0.05


def replace(owner: Any, name: str, function: Any) -> None:
    """Put a function in the place of the product's."""
    setattr(owner, name, function)


def forget_the_inbox() -> None:
    """What has been handled is noted as ever, and handled again when it comes again."""
    enter = Handling._enter

    async def always(self: Handling, tx: Any, event_id: str, lease: Lease) -> bool:
        await enter(self, tx, event_id, lease)
        return True

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
        self.worker.submit(lambda: late(self), self._committed)

    def late(self: Any) -> Any:
        time.sleep(LAG_S)
        return commit(self)

    original: Any = Writer._end
    replace(Writer, "_end", end)


FAULTS = {"inbox": forget_the_inbox, "acknowledged": acknowledge_before_commit}


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
