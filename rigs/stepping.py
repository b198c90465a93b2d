"""Starts the product with a wall clock that can be set: `python -m rigs.stepping run PATH ...`.

SIGUSR1 sets it an hour on, SIGUSR2 an hour back. The machine's clock stays as it is, and so does the
monotonic one of the process.
"""

from __future__ import annotations

import signal
import sys
import time
from datetime import UTC, datetime
from uuid import UUID

from borough.cli import main
from borough.clock import SystemClock, uuid7
from rigs.planted import replace

HOUR_S = 3600.0
_shift_s = 0.0


def _step(number: int, _frame: object) -> None:
    global _shift_s
    _shift_s += HOUR_S if number == signal.SIGUSR1 else -HOUR_S


def _epoch_s(_self: SystemClock) -> float:
    return time.time() + _shift_s


def _now(_self: SystemClock) -> datetime:
    return datetime.fromtimestamp(time.time() + _shift_s, UTC)


def _new_id(self: SystemClock) -> UUID:
    return uuid7(int((time.time() + _shift_s) * 1000), self.token(10))


if __name__ == "__main__":
    for name, function in (("epoch_s", _epoch_s), ("now", _now), ("new_id", _new_id)):
        replace(SystemClock, name, function)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, _step)
    sys.exit(main(sys.argv[1:]))
