"""A process of the office, until it is killed.

It reads a pickled `Task` from standard input, says `ready`, keeps notes as it is told, and prints each that was
acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys

from borough.testing.conformance.killed import READY
from borough.testing.conformance.life import Task, living


async def live(task: Task) -> None:
    async with living(task.suite, task.folder) as life:
        os.write(1, f"{READY}\n".encode())

        async def write(writer: str) -> None:
            for number in range(task.first, task.first + task.notes):
                await life.keep(writer, number, number + 1)
                os.write(1, f"{writer} {number}\n".encode())

        async with asyncio.TaskGroup() as group:
            for writer in task.writers:
                group.create_task(write(writer))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(live(pickle.load(sys.stdin.buffer)))
