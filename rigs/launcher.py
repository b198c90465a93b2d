"""Starts `borough` with something wrong: `python -m rigs.launcher FAULT run ...`.

SIGUSR1 and SIGUSR2 set the wall clock of the process an hour on and back. The faults are for the
proof that a rig would see them.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from borough.cli import main
from borough.clock import SystemClock, uuid7
from borough.errors import ServiceFailure
from borough.runtime.relay import Relay
from borough.stores.sqlite.transaction import SqliteTransaction
from borough.transports.callee import Callee

__all__ = ["FAULTS"]

HOUR_S = 3600.0


def let_clock_step() -> None:
    """Shift the wall clock at each signal, as somebody who sets it would. The monotonic one goes on."""
    shift_s = 0.0

    def step(number: int, _frame: object) -> None:
        nonlocal shift_s
        shift_s += HOUR_S if number == signal.SIGUSR1 else -HOUR_S

    def epoch_s(_self: SystemClock) -> float:
        return time.time() + shift_s

    def now(_self: SystemClock) -> datetime:
        return datetime.fromtimestamp(time.time() + shift_s, UTC)

    def new_id(self: SystemClock) -> UUID:
        return uuid7(int((time.time() + shift_s) * 1000), self.token(10))

    replaced: Any = SystemClock
    replaced.epoch_s, replaced.now, replaced.new_id = epoch_s, now, new_id
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, step)


def acknowledge_what_failed() -> None:
    """Say that a COMMIT went well which has failed."""
    settle = SqliteTransaction.settle
    replaced: Any = SqliteTransaction
    replaced.settle = lambda self, _failure: settle(self, None)


def give_up_moving() -> None:
    """Let the relay rest for ever after its first failure."""
    move = Relay._move
    replaced: Any = Relay

    async def _move(self: Relay, lease: Any) -> int:
        return 0 if self.failed else await move(self, lease)

    replaced._move = _move


def fail_unkindly() -> None:
    """Answer 500 where the database cannot be had."""
    replaced: Any = Callee
    replaced._failure = lambda self, error: ServiceFailure(f"failed: {error}")


FAULTS: Mapping[str, Callable[[], None]] = {
    "none": lambda: None,
    "acknowledged-though-failed": acknowledge_what_failed,
    "never-moved-again": give_up_moving,
    "answered-with-500": fail_unkindly,
}


if __name__ == "__main__":
    let_clock_step()
    FAULTS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
