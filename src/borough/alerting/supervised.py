"""What the supervisor of a fleet knows of its processes, as the door asks for it: who is down, since when and why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from borough.alerting.facts import ReplicaFacts
from borough.clock import Clock
from borough.errors import ConfigurationError, Unavailable
from borough.fleet.commands import Members, ask_fleet
from borough.telemetry.masking import masked
from borough.telemetry.plain import plain, printable

__all__ = ["Supervised"]

_PATIENCE_S = 1.0
_FRESH_S = 0.5


class Supervised:
    """The processes of the fleet behind one door, for whoever asks there. Where there is no supervisor: none."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._asking: asyncio.Future[tuple[ReplicaFacts, ...]] | None = None
        self._known: tuple[ReplicaFacts, ...] = ()
        self._asked_at = float("-inf")

    async def replicas(self) -> tuple[ReplicaFacts, ...]:
        """What the supervisor says, or has said a moment ago; while it does not answer, what it has said last."""
        now = self._clock.monotonic()
        if self._asking is None and now - self._asked_at < _FRESH_S:
            return self._known
        asking = self._asking
        if asking is None:
            asking = self._asking = asyncio.ensure_future(asyncio.to_thread(_ask, self._folder))
            self._asked_at = now
        await asyncio.wait([asking], timeout=_PATIENCE_S)
        if asking.done():
            if self._asking is asking:
                self._asking = None  # first of all: one that has failed is not looked at again
            self._known = asking.result() or self._known
        return self._known


def _ask(folder: Path) -> tuple[ReplicaFacts, ...]:
    try:
        answer = ask_fleet(folder, Members())
        found = msgspec.convert(answer.facts.get("members", ()), tuple[ReplicaFacts, ...])
    except (ConfigurationError, Unavailable, msgspec.MsgspecError, OSError):
        return ()  # nobody answers, in words that are known; or no descriptor is left to ask by
    return tuple(
        msgspec.structs.replace(
            each,
            trouble=each.trouble and plain(masked(each.trouble)),
            why=each.why and plain(masked(each.why)),
            last_words=tuple(printable(masked(line).rstrip()) for line in each.last_words),
        )
        for each in found
    )
