"""What changes, as server-sent events: topics of keyed values, of which only what is another one is sent.

A source is read at most once a second, while somebody follows one of its topics, and never more than a
fortieth of the time: a large system is looked at less often, not at a higher price. A reader who is
slow gets the latest of each key, and nothing that has been overtaken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from borough.clock import Clock
from borough.errors import BoroughError

__all__ = ["Live", "Source"]

_log = logging.getLogger("borough.console")
_SHARE = 40
_LONGEST_PAUSE_S = 5.0
_STILL_HERE_S = 15.0
_MOST_GONE = 256
_encode = msgspec.json.Encoder().encode

Read = Callable[[], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""The values of each topic, by key."""


class Source:
    """Where topics come from: `read` gives all of `topics` at once."""

    __slots__ = ("every_s", "read", "topics")

    def __init__(self, topics: Sequence[str], read: Read, every_s: float = 1.0) -> None:
        self.topics = tuple(topics)
        self.read = read
        self.every_s = every_s


class _Topic:
    """A topic as it is: each key's value with the number of its change; None for a key that is gone.

    Who has seen what was before `read_at` gets the whole.
    """

    __slots__ = ("read_at", "values")

    def __init__(self) -> None:
        self.values: dict[str, tuple[int, bytes | None]] = {}
        self.read_at = 0

    def put(self, values: Mapping[str, Any], number: int) -> bool:
        """Take what is now; whether any of it is another one."""
        changed = not self.read_at
        self.read_at = self.read_at or number
        for key, value in values.items():
            encoded = _encode(value)
            known = self.values.get(key)
            if known is None or known[1] != encoded:
                self.values[key] = number, encoded
                changed = True
        for key, (_, known_value) in self.values.items():
            if key not in values and known_value is not None:
                self.values[key] = number, None
                changed = True
        self._forget()
        return changed

    def _forget(self) -> None:
        """Forget what is gone once that is much: pids and fingerprints are never the same again.

        Who has not heard of the latest of it gets the whole anew.
        """
        gone = {key: at for key, (at, value) in self.values.items() if value is None}
        if len(gone) > _MOST_GONE:
            self.read_at = max(self.read_at, *gone.values())
            for key in gone:
                del self.values[key]

    def since(self, number: int) -> bytes | None:
        """What has changed after that number, as JSON; None for nothing."""
        if not self.read_at:
            return None
        is_whole = number < self.read_at
        found = {k: v for k, (at, v) in self.values.items() if is_whole or at > number}
        if not found and not is_whole:
            return None
        changed = {key: msgspec.Raw(value) for key, value in found.items() if value is not None}
        gone = () if is_whole else [key for key, value in found.items() if value is None]
        return _encode({"whole": is_whole, "changed": changed, "gone": gone})


class Live:
    """All topics, and who follows them."""

    def __init__(self, sources: Sequence[Source], clock: Clock) -> None:
        self._sources = {topic: source for source in sources for topic in source.topics}
        self._clock = clock
        self._topics: dict[str, _Topic] = {}
        self._followers: dict[asyncio.Event, frozenset[Source]] = {}
        self._readings: dict[Source, asyncio.Task[None]] = {}
        self._number = 0
        self._is_closed = False

    @property
    def topics(self) -> Collection[str]:
        """Their names."""
        return self._sources.keys()

    async def follow(
        self, topics: Collection[str], may_follow: Callable[[], bool]
    ) -> AsyncGenerator[bytes]:
        """The events of these topics, each whole at first.

        It ends when the console closes, and when they are no longer for who follows them.
        """
        news = asyncio.Event()
        self._followers[news] = frozenset(self._sources[topic] for topic in topics)
        self._settle()
        seen = 0
        try:
            yield b"retry: 2000\n\n"
            while not self._is_closed and may_follow():
                news.clear()
                number = self._number
                parts: list[bytes] = []
                for topic in topics:
                    found = self._topics[topic].since(seen) if topic in self._topics else None
                    if found is not None:
                        parts.append(b"event: %b\ndata: %b\n\n" % (topic.encode(), found))
                seen = number
                if parts:
                    yield b"".join(parts)
                try:
                    async with asyncio.timeout(_STILL_HERE_S):
                        await news.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self._followers.pop(news, None)
            self._settle()

    def _settle(self) -> None:
        """Read what somebody follows, and nothing else."""
        wanted: set[Source] = set()
        if not self._is_closed:
            for followed in self._followers.values():
                wanted |= followed
        for source in [each for each in self._readings if each not in wanted]:
            self._readings.pop(source).cancel()
            for topic in source.topics:  # it is old by the time that somebody asks again
                self._topics.pop(topic, None)
        for source in wanted - self._readings.keys():
            self._readings[source] = asyncio.create_task(
                self._keep_reading(source), name=f"console {source.topics[0]}"
            )

    async def _keep_reading(self, source: Source) -> None:
        is_failing = False
        while True:
            began = self._clock.monotonic()
            try:
                self._put(await source.read())
                is_failing = False
            except BoroughError as error:
                if not is_failing:
                    _log.warning("the console cannot read %s now: %s", source.topics[0], error)
                is_failing = True
            except Exception:
                if not is_failing:
                    _log.exception("the console cannot read %s", source.topics[0])
                is_failing = True
            took = self._clock.monotonic() - began
            await self._clock.sleep(max(source.every_s, min(_LONGEST_PAUSE_S, took * _SHARE)))

    def _put(self, found: Mapping[str, Mapping[str, Any]]) -> None:
        self._number += 1
        changed = False
        for topic, values in found.items():
            changed |= self._topics.setdefault(topic, _Topic()).put(values, self._number)
        if changed:
            for news in self._followers:
                news.set()

    async def close(self) -> None:
        """End every stream and every reading. Idempotent."""
        self._is_closed = True
        readings = list(self._readings.values())
        for news in self._followers:
            news.set()
        self._settle()
        if readings:
            await asyncio.wait(readings)
