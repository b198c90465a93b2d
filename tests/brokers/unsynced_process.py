"""Appends one event, and dies when its sync has failed: `python unsynced_process.py FOLDER NUMBER`."""

import os
import sys
from pathlib import Path
from typing import Any

from borough.brokers.embedded.writer import LogWriter
from tests.brokers.test_disk_faults import large


def die(*_arguments: Any) -> None:
    """What a kill does at this point."""
    os._exit(9)


if __name__ == "__main__":
    os.ftruncate = die
    message = large(int(sys.argv[2]))
    LogWriter(Path(sys.argv[1]) / message.topic).append([message], 1e9, lambda: True)
