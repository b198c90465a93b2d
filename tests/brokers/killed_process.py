"""Works on a topic in processes of its own, the nth of which is killed before its nth act on a file.

Acts are what an audit hook sees: opening, renaming, removing and cutting files, making folders. Each
works in a folder of its own number and notes beside it which batches were acknowledged.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from borough.brokers.embedded import EmbeddedBroker
from borough.contracts.retention import Retention
from borough.ports import Message
from borough.testing.clock import ManualClock
from tests.brokers.topic import TOPIC, keyed

ACTS = frozenset({"open", "os.rename", "os.remove", "os.truncate", "os.mkdir"})
FULL = 700
BATCHES = 10
BATCH_S = 1800.0


def batch(number: int) -> list[Message]:
    """The events of a batch; nine keys take turns."""
    return [keyed(4 * number + n, f"k{(4 * number + n) % 9}") for n in range(4)]


def kill_before(act: int, folder: Path) -> None:
    """Kill this process before its nth act in a folder."""
    left = act

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in ACTS and any(str(argument).startswith(f"{folder}/") for argument in arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


async def work(folder: Path, retention: Retention) -> None:
    """Publish batches, half an hour apart, and trim after every fourth."""
    clock = ManualClock()
    broker = EmbeddedBroker(folder, clock, full=FULL)
    with folder.with_suffix(".acknowledged").open("w") as acknowledged:
        await broker.open()
        for number in range(BATCHES):
            await broker.publish(batch(number))
            print(number, file=acknowledged, flush=True)
            clock.advance(BATCH_S)
            if number % 4 == 3:
                await broker.trim(TOPIC, retention, clock.epoch_s())
        await broker.close()


def kill_each(folder: Path, retention: Retention) -> None:
    """Begin one process after another until there is one that comes to its end."""
    status, act = -1, 0
    while status != 0:
        act += 1
        process = os.fork()
        if process == 0:
            kill_before(act, folder / str(act))
            asyncio.run(work(folder / str(act), retention))
            os._exit(0)
        status = os.waitpid(process, 0)[1]
        if status not in (0, signal.SIGKILL):
            sys.exit(f"act {act}: status {status}")


if __name__ == "__main__":
    retains = Retention.read(sys.argv[2])
    assert retains is not None
    kill_each(Path(sys.argv[1]), retains)
