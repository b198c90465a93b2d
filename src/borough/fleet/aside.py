"""A process that loads its code beside others that serve leaves them the processor.

Linux shares the processor between sessions before it looks at what is in them (autogroup), and each
replica has one: its share is lowered from outside, and given back once the code is loaded, for then it
takes locks that others wait for. Where it does not, threads are what it shares between, and who
lowers the priority of a thread may not raise it again: so the code is loaded by a thread that ends.

    python -m borough.fleet.aside MODULE ARGUMENT ...
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

__all__ = ["come_forward", "step_aside"]

_ASIDE = 10
"""Of nice(2): a tenth of a share while others want the processor, all that they leave of it else."""


def step_aside(pid: int) -> None:
    """The session that this process leads gives way to all others, where sessions have shares."""
    _set_level(pid, _ASIDE)


def come_forward(pid: int) -> bool:
    """It has its share again. False where the kernel wants to be asked once more, a little later."""
    return _set_level(pid, 0)


def _set_level(pid: int, level: int) -> bool:
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(level), encoding="ascii")
    except BlockingIOError:  # it takes ten changes a second on the whole machine
        return False
    except OSError:  # there are no such groups, or the process has gone
        pass
    return True


def _load(module: str) -> None:
    if sys.platform == "linux":  # elsewhere the priority would be the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _ASIDE)
    with suppress(Exception):  # which comes again where it is seen
        importlib.import_module(module)


def main() -> int:
    """Load a module in a thread that gives way to all others, and run its `main` as if it were the program."""
    module = sys.argv.pop(1)
    loading = threading.Thread(target=_load, args=(module,))
    loading.start()
    loading.join()
    status: int = importlib.import_module(module).main()
    return status


if __name__ == "__main__":
    sys.exit(main())
