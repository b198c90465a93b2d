"""The other end of `Child.ask`: a worker that answers lines of JSON while its event loop lives on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import uvloop

__all__ = ["answer_lines", "run", "say"]


def say(document: object) -> None:
    """One line of JSON on standard output."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


async def answer_lines(answer: Callable[[Any], Awaitable[object]]) -> None:
    """Answer until standard input ends; connections are looked after in between."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        say(await answer(msgspec.json.decode(line)))


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a worker on uvloop."""

    async def entry() -> None:
        await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(entry())
