"""Rounds of episodes on one fleet: each begins on an empty folder, and is judged as a whole at its end."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import uvloop

from rigs.episodes import Episode
from rigs.shop import ServerFailed

__all__ = ["Rounds", "add_arguments"]

CUSTOMERS = 12
PER_ROUND = 60
LONG_ROUND = 20
"""From so many on a round waits in the end until connections that are kept are closed."""


class Trial(Protocol):
    """One folder, and what is done to the fleet on it."""

    async def start(self) -> None:
        """Start the fleet and its traffic. Raises `ServerFailed`."""
        ...

    async def upset(self, seed: int) -> dict[str, Any]:
        """One episode; returns what was done. Raises `ServerFailed` where all does not go on."""
        ...

    async def judge(self, *, is_long: bool) -> tuple[list[str], dict[str, Any]]:
        """Let everything end: what is wrong, and figures."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...


class Rounds:
    """The rounds of a rig. `make` gets a folder, the first seed, how many customers, and the fault."""

    def __init__(
        self, name: str, planted_size: int, make: Callable[[Path, int, int, str], Trial]
    ) -> None:
        self._name = name
        self._planted_size = planted_size
        self._make = make

    def run(self, options: Any, seeds: Sequence[int], planted: str | None) -> Iterator[Episode]:
        """Round after round; a bad one leaves its folder."""
        size = options.round if planted is None else self._planted_size
        for first in range(0, len(seeds), size):
            folder = Path(tempfile.mkdtemp(prefix="borough-fleet-"))
            is_bad = True
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    part = seeds[first : first + size]
                    episodes = runner.run(self._play(folder, part, options.customers, planted))
                is_bad = any(episode.wrong for episode in episodes) and planted is None
            finally:
                if not is_bad:
                    shutil.rmtree(folder, ignore_errors=True)
            if is_bad:
                print(f"{self._name}: everything is kept in {folder}", flush=True)
            yield from episodes

    async def _play(
        self, folder: Path, seeds: Sequence[int], customers: int, planted: str | None
    ) -> list[Episode]:
        trial = self._make(folder, seeds[0], customers, planted or "")
        facts: dict[int, dict[str, Any]] = {seed: {} for seed in seeds}
        is_long = len(seeds) >= LONG_ROUND and planted is None
        try:
            await trial.start()
            for seed in seeds:
                facts[seed] = await trial.upset(seed)
            wrong, figures = await trial.judge(is_long=is_long)
            facts[seeds[-1]] |= figures
        except ServerFailed as error:
            wrong = [f"stuck: {error}"]
        finally:
            await trial.close()
        told = f"the round of seeds {seeds[0]}-{seeds[-1]} is wrong: see its last"
        episodes = [Episode(seed, [told] if wrong else [], facts[seed]) for seed in seeds[:-1]]
        return [*episodes, Episode(seeds[-1], wrong, facts[seeds[-1]])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the rigs of a fleet take."""
    parser.add_argument(
        "--round", type=int, default=PER_ROUND, help=f"episodes per folder ({PER_ROUND})"
    )
    parser.add_argument(
        "--customers", type=int, default=CUSTOMERS, help=f"who buy at once ({CUSTOMERS})"
    )
