"""A process that calls the counter across a link: `python -m rigs.link.caller TASK`; TASK is JSON.

It reads phases from standard input, one line each, and ends after the line `stop`. Every call and
what became of it is one line of JSON on standard output.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any, NamedTuple

import uvloop

from borough.clock import SystemClock
from borough.contracts.reading import read_contract
from borough.errors import CallError
from borough.ports import Replica
from borough.runtime.client import Caller, make_client
from borough.runtime.discovery import Directory
from borough.transports.http.client import HttpClient
from borough.transports.http.dependency import Dependencies
from borough.transports.http.remote import RemoteTransport
from rigs.link.counter.contract import Counter
from rigs.planted import FAULTS

CALLERS = 24
RECOVERED = 30
"""So many calls in a row without an error, and the pool has recovered."""


class Task(NamedTuple):
    """Where the link begins, and how long a call may take."""

    port: int
    seed: int
    timeout_s: float
    fault: str = ""


class Calls:
    """Calls under way."""

    def __init__(self, task: Task) -> None:
        self._task = task
        clock = SystemClock()
        directory = Directory({"counter": [Replica("counter-1", "127.0.0.1", task.port)]})
        self._transport = RemoteTransport(Dependencies(directory, HttpClient, clock))
        caller = Caller("counter", clock, default_timeout_s=task.timeout_s)
        self._client: Any = make_client(read_contract(Counter), self._transport, caller)
        self._chance = random.Random(task.seed)
        self._number = 0
        self.stopping = False

    async def call(self) -> bool:
        """One call, told on standard output; returns whether it was answered."""
        self._number += 1
        number, is_safe = self._number, self._chance.random() < 0.5
        text = "x" * self._chance.choice((1, 200, 5000))
        loop = asyncio.get_running_loop()
        began = loop.time()
        operation = self._client.echo if is_safe else self._client.mark
        outcome = "answered"
        try:
            answer = await operation(number, text)
            if answer != f"{number}:{text}":
                outcome = f"wrong: {answer[:60]}"
        except CallError as error:
            outcome = type(error).__name__
        told = {
            "number": number,
            "safe": is_safe,
            "outcome": outcome,
            "took_s": round(loop.time() - began, 3),
        }
        print(json.dumps(told))
        return outcome == "answered"

    async def keep_calling(self) -> None:
        """One call after another, until told to stop."""
        while not self.stopping:
            await self.call()
            await asyncio.sleep(0.005)

    async def recover(self, within_s: float) -> bool:
        """Call one after another on a clean link, until all goes well."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + within_s
        good = 0
        while good < RECOVERED:
            if loop.time() > ends:
                return False
            good = good + 1 if await self.call() else 0
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()


async def main(task: Task) -> None:
    """Call until `clean` is said, then until all goes well."""
    calls = Calls(task)
    loop = asyncio.get_running_loop()
    try:
        callers = [asyncio.ensure_future(calls.keep_calling()) for _ in range(CALLERS)]
        await loop.run_in_executor(None, sys.stdin.readline)  # the link is clean again
        calls.stopping = True
        await asyncio.gather(*callers)
        print(json.dumps({"recovered": await calls.recover(10.0)}), flush=True)
    finally:
        await calls.close()


if __name__ == "__main__":
    _task = Task(**json.loads(sys.argv[1]))
    if _task.fault:
        FAULTS[_task.fault]()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(_task))
