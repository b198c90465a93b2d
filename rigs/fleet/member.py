"""A process of a fleet that tells on SIGUSR1 which tasks it has; perhaps with a fault planted in it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from borough.fleet import replica
from borough.gateway.forwarding import _Forwarder
from borough.transports.http.client import HttpClient
from borough.transports.http.message import Request, Response
from rigs.fleet.launcher import PLAN, Plan
from rigs.planted import FAULTS, replace

MOST_LEFT = 400


def outlive_the_supervisor() -> None:
    """The end of the supervisor's line is no reason to stop."""
    listen: Any = replica._Replica._listen

    async def for_ever(self: Any, messages: Any) -> None:
        async def endless() -> Any:
            async for message in messages:
                yield message
            await self._stop.wait()  # who is asked to stop does

        await listen(self, endless())

    replace(replica._Replica, "_listen", for_ever)


def leave_tasks_behind() -> None:
    """Each call to another process leaves a task, and a file, that nobody ends."""
    pool_of: Any = HttpClient.pool_of
    left: list[Any] = []

    def careless(self: Any, *rest: Any) -> Any:
        if len(left) < MOST_LEFT:
            left.append(asyncio.ensure_future(asyncio.Event().wait()))
            left.append(os.open(os.devnull, os.O_RDONLY))
        return pool_of(self, *rest)

    replace(HttpClient, "pool_of", careless)


def believe_in_success() -> None:
    """Whoever writes a note is told that it was kept, whatever has become of the call."""
    answer: Any = _Forwarder.answer

    async def believe(self: Any, request: Request) -> Response:
        response: Response = await answer(self, request)
        if request.path == "/witness/notes" and response.status >= 500:
            return Response(201, ((b"content-type", b"application/json"),), request.body)
        return response

    replace(_Forwarder, "answer", believe)


OWN_FAULTS = {
    "optimism": believe_in_success,
    "orphans": outlive_the_supervisor,
    "leak": leave_tasks_behind,
}


def _tell(folder: Path) -> None:
    """Write down which tasks there are, by the function that each runs."""
    names = [
        getattr(task.get_coro(), "__qualname__", type(task.get_coro()).__name__)
        for task in asyncio.all_tasks()
        if not task.done()
    ]
    report = folder / f"{os.getpid()}.json"
    draft = report.with_suffix(".draft")
    draft.write_text(json.dumps(Counter(names)))
    draft.replace(report)


def main() -> int:
    """Do what the plan says, then be a replica as the product has it."""
    plan = msgspec.json.decode(os.environ[PLAN], type=Plan)
    if plan.fault:
        (FAULTS | OWN_FAULTS)[plan.fault]()
    signal.signal(signal.SIGUSR1, lambda *_: _tell(Path(plan.reports)))
    return replica.main()


if __name__ == "__main__":
    sys.exit(main())
