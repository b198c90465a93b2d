"""The embedded broker: one append-only log per topic, in files that all processes of a machine share.

Only the publishing service's leased relay appends to a topic, each time under the topic's lock, and
`publish` returns after the data has reached the disk. Readers of any process follow the files; a
hint wakes those in this process, polling finds what others wrote. Positions live with the reader.
What a relay appends twice has the same ids, and the inbox drops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from borough.brokers.embedded.compaction import CompactionStopped, compact
from borough.brokers.embedded.reader import LogReader
from borough.brokers.embedded.segments import Segments
from borough.brokers.embedded.trimming import (
    PARTS,
    earliest,
    remove_covered,
    remove_older,
    topic_facts,
    trimming,
)
from borough.brokers.embedded.writer import FULL_SEGMENT, LogWriter
from borough.clock import Clock
from borough.contracts.retention import Retention
from borough.ending import ended
from borough.errors import BrokerError, ConfigurationError
from borough.ports import Delivery, Message, TopicFacts, Trimmed

__all__ = ["EmbeddedBroker"]

T = TypeVar("T")

_log = logging.getLogger("borough.events")

_TOPIC = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_LONGEST_NAME: Final = 200
_POLL_S: Final = 0.2
_LOCK_RETRY_S: Final = 0.02
_LOCK_PATIENCE_S: Final = 2.0
_FRESH_S: Final = 5.0  # well below a lease: who was paused for longer may not be the relay any more
_LATEST_CLOSED_S: Final = 3600
_THREADS: Final = 4


class _Log:
    """What this process knows of one topic's log.

    Its writer, and who waits for its next record.
    """

    __slots__ = ("readers", "segments", "tail", "turn", "writer")

    def __init__(self, folder: Path, full: int) -> None:
        self.segments = Segments(folder)
        self.tail = LogReader(folder)
        self.writer = LogWriter(folder, full)
        self.turn = asyncio.Lock()
        self.readers: set[_LogSubscription] = set()


class EmbeddedBroker:
    """Events of a system in the files of one folder, for all its processes on one machine.

    A segment of `full` bytes gets a successor.
    """

    keeps_positions = False
    keeps_order = True
    keeps_history = True
    tells_types_apart = True

    def __init__(
        self, folder: str | os.PathLike[str], clock: Clock, *, full: int = FULL_SEGMENT
    ) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._full = full
        self._logs: dict[str, _Log] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._trimmer: ThreadPoolExecutor | None = None
        self._trims: set[threading.Event] = set()

    async def open(self) -> None:
        """Make the folder. Raises `ConfigurationError` where it cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the folder {self._folder} for event logs cannot be made ({error.strerror}); "
                "choose a writable data folder"
            ) from error
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"the folder {self._folder} for event logs cannot be written; "
                "choose a writable data folder"
            )
        with contextlib.suppress(OSError):  # what reads and writes there says why it cannot
            self._warn_of_earlier_logs()
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="borough-log")
            self._trimmer = ThreadPoolExecutor(1, thread_name_prefix="borough-log-trim")

    def _warn_of_earlier_logs(self) -> None:
        for path in sorted(self._folder.glob("*.log")):
            if path.is_file():
                _log.warning(
                    "%s is an event log of an earlier version and is not read; events in it that "
                    "were not handled yet are left there. Remove it when you do not need them",
                    path,
                )

    async def claim(self, services: Iterable[str]) -> None:
        """Nothing: the data folder is this system's."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append to the topics' logs; durable when it returns. Raises `BrokerError`."""
        since = self._clock.monotonic()
        topics = _by_topic(messages)
        if len(topics) == 1:
            for topic, group in topics.items():
                await self._publish(topic, group, since)
            return
        work = (self._publish(topic, group, since) for topic, group in topics.items())
        for failure in await asyncio.gather(*work, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _publish(self, topic: str, messages: Sequence[Message], since: float) -> None:
        log = self._log(topic)
        async with log.turn:
            await self._append(log, messages, since)
        for reader in log.readers:
            reader.wake()

    async def _append(self, log: _Log, messages: Sequence[Message], since: float) -> None:
        clock = self._clock
        while True:
            done = await self._in_thread(
                self._threads,
                log.writer.append,
                messages,
                clock.epoch_s(),
                lambda: clock.monotonic() - since < _FRESH_S,
            )
            if done:
                return
            if clock.monotonic() - since >= _LOCK_PATIENCE_S:
                raise BrokerError(f"{log.segments.folder.name} is held by another process")
            await clock.sleep(_LOCK_RETRY_S)

    async def _in_thread(
        self, threads: ThreadPoolExecutor | None, function: Callable[..., T], *arguments: Any
    ) -> T:
        """Run it in a thread; who is cancelled, however often, waits until the thread has ended.

        Or another would write to the same file beside it, and closing would take the file from under it.
        """
        if threads is None:
            raise BrokerError("the embedded broker is not open")
        return await ended(
            asyncio.get_running_loop().run_in_executor(threads, function, *arguments)
        )

    async def join(self, group: str, topic: str, *, anew: bool = False) -> None:
        """Nothing: where a handler begins lives with it."""

    async def waiting(self, group: str, topic: str) -> int:
        """0: nothing is kept for a handler."""
        return 0

    async def end(self, topic: str) -> int:
        """The end of the topic's log, behind its last whole record."""
        return self._log(topic).tail.find_end()

    async def earliest(self, topic: str) -> int:
        """Where the topic's first segment begins."""
        return earliest(self._log(topic).segments)

    async def origin(self, topic: str) -> str:
        """Numbers begin with the time at which a log was made: no two are taken for each other."""
        return "embedded"

    async def bury(self, group: str, message: Message, attempts: int, cause: str) -> None:
        """Nothing: the handler's database has it."""

    async def facts(self, topic: str) -> TopicFacts:
        """What the topic holds now."""
        return await self._in_thread(self._threads, topic_facts, self._log(topic).segments)

    async def trim(self, topic: str, retention: Retention, now_s: float) -> Trimmed:
        """Remove or rewrite closed segments as `retention` says; see `borough.ports.Broker`."""
        log = self._log(topic)
        if retention.kind == "forever":
            return Trimmed()
        age_s = retention.seconds / PARTS if retention.kind == "age" else _LATEST_CLOSED_S
        async with log.turn:
            await self._in_thread(self._threads, log.writer.close_older, now_s - age_s)
        stopping = threading.Event()
        self._trims.add(stopping)
        trim = asyncio.ensure_future(
            self._in_thread(self._trimmer, self._trim, log.segments, retention, now_s, stopping)
        )
        try:
            return await asyncio.shield(trim)
        except asyncio.CancelledError:
            stopping.set()
            with contextlib.suppress(BrokerError):
                await ended(trim)
            raise
        finally:
            self._trims.discard(stopping)

    def _trim(
        self, segments: Segments, retention: Retention, now_s: float, stopping: threading.Event
    ) -> Trimmed:
        try:
            with trimming(segments) as alone:
                if not alone or stopping.is_set():
                    return Trimmed()
                remove_covered(segments)
                if retention.kind == "age":
                    return remove_older(segments, now_s - retention.seconds, now_s)
                return compact(segments, self._full, stopping.is_set)
        except CompactionStopped:
            return Trimmed()
        except OSError as error:
            raise BrokerError(f"{segments.folder} cannot be trimmed: {error.strerror}") from error

    async def subscribe(self, group: str, topic: str, position: int) -> _LogSubscription:
        """Read `topic` after `position`.

        `group` is of no use here, its position lives with the reader.
        """
        log = self._log(topic)
        reader = LogReader(log.segments.folder, position)
        try:
            reader.seek()
        except BaseException:
            reader.close()
            raise
        subscription = _LogSubscription(log, reader, topic)
        log.readers.add(subscription)
        return subscription

    async def close(self) -> None:
        """End what is being read and release the files. Idempotent."""
        for stopping in self._trims:
            stopping.set()
        for log in self._logs.values():
            for reader in tuple(log.readers):
                await reader.close()
            log.tail.close()
            async with log.turn:
                pass  # whoever writes has ended; the loop turns meanwhile
        for threads in (self._threads, self._trimmer):
            if threads is not None:
                threads.shutdown(wait=True)
        for log in self._logs.values():  # no thread is left to write where another's file is then
            log.writer.close()
        self._threads = self._trimmer = None

    def _log(self, topic: str) -> _Log:
        found = self._logs.get(topic)
        if found is None:
            if not _TOPIC.match(topic) or len(topic) > _LONGEST_NAME:
                raise BrokerError(f"topic {topic!r} cannot name a folder")
            found = self._logs[topic] = _Log(self._folder / topic, self._full)
        return found


class _LogSubscription:
    """One handler's reading of one topic."""

    def __init__(self, log: _Log, reader: LogReader, topic: str) -> None:
        self._log = log
        self._reader = reader
        self._topic = topic
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def position(self) -> int:
        """All records below this number have been read."""
        return self._reader.position

    @property
    def missed(self) -> int:
        """How many records were removed before they were read."""
        return self._reader.missed

    async def take(self, limit: int) -> Sequence[Delivery]:
        while True:
            if self._closed:
                raise BrokerError(f"the subscription to {self._topic} is closed")
            found = self._reader.read(limit)
            if found:
                return found
            await self._wait()

    async def done(self, position: int) -> None:
        """Nothing: the position lives in the reader's own database."""

    async def close(self) -> None:
        self._closed = True
        self._log.readers.discard(self)
        self._reader.close()
        self.wake()

    def wake(self) -> None:
        """There is something to read."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(_POLL_S, self.wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None


def _by_topic(messages: Sequence[Message]) -> Mapping[str, Sequence[Message]]:
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(message.topic, []).append(message)
    return found
