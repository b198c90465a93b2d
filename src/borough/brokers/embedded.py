"""The embedded broker: no server, one append-only log file per publishing service.

A position is the offset at which the next record starts. Only the service's leased relay appends,
each time under the file's lock, and `publish` returns after the data has reached the disk. Readers
of any process follow the file; a hint wakes those in this process, polling finds what others
wrote. Positions live with the reader. What a relay appends twice has the same ids, and the inbox
drops it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from borough.brokers.logfile import LogReader, LogWriter
from borough.clock import Clock
from borough.errors import BrokerError, ConfigurationError
from borough.ports import Delivery, Message

__all__ = ["EmbeddedBroker"]

_POLL_S = 0.2
_LOCK_RETRY_S = 0.02
_LOCK_PATIENCE_S = 2.0
_THREADS = 4


class _Log:
    """What this process knows of one service's log.

    Its writer, and who waits for its next record.
    """

    __slots__ = ("path", "readers", "tail", "turn", "writer")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail = LogReader(path)
        self.writer: LogWriter | None = None
        self.turn = asyncio.Lock()
        self.readers: set[_LogSubscription] = set()


class EmbeddedBroker:
    """Events of a system in the files of one folder, for all its processes on one machine."""

    keeps_positions = False

    def __init__(self, folder: str | os.PathLike[str], clock: Clock) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._logs: dict[str, _Log] = {}
        self._threads: ThreadPoolExecutor | None = None

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
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="borough-log")

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append to the publishers' logs; durable when it returns. Raises `BrokerError`."""
        for service, group in _by_service(messages).items():
            log = self._log(service)
            async with log.turn:
                await self._append(log, group)
            for reader in log.readers:
                reader.wake()

    async def _append(self, log: _Log, messages: Sequence[Message]) -> None:
        if self._threads is None:
            raise BrokerError("the embedded broker is not open")
        if log.writer is None:
            log.writer = LogWriter(log.path)
        loop = asyncio.get_running_loop()
        patience = self._clock.monotonic() + _LOCK_PATIENCE_S
        while True:
            now_s = self._clock.epoch_s()
            append = loop.run_in_executor(self._threads, log.writer.append, messages, now_s)
            try:
                done = await asyncio.shield(append)
            except asyncio.CancelledError:
                await asyncio.wait(
                    [append]
                )  # the turn is not given up while the thread still writes
                append.exception()
                raise
            if done:
                return
            if self._clock.monotonic() >= patience:
                raise BrokerError(f"{log.path.name} is held by another process")
            await self._clock.sleep(_LOCK_RETRY_S)

    async def end(self, topic: str) -> int:
        """The end of the publisher's log, behind its last whole record."""
        return self._log(_service_of(topic)).tail.find_end()

    async def subscribe(self, group: str, topic: str, position: int) -> _LogSubscription:
        """Read `topic` after `position`.

        `group` is of no use here, its position lives with the reader.
        """
        log = self._log(_service_of(topic))
        reader = LogReader(log.path)
        try:
            reader.seek(position)
        except BaseException:
            reader.close()
            raise
        subscription = _LogSubscription(log, reader, topic)
        log.readers.add(subscription)
        return subscription

    async def close(self) -> None:
        """End what is being read and release the files. Idempotent."""
        for log in self._logs.values():
            for reader in tuple(log.readers):
                await reader.close()
            log.tail.close()
            async with log.turn:
                if log.writer is not None:
                    log.writer.close()
                    log.writer = None
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None

    def _log(self, service: str) -> _Log:
        found = self._logs.get(service)
        if found is None:
            found = self._logs[service] = _Log(self._folder / f"{service}.log")
        return found


class _LogSubscription:
    """One handler's reading of one topic of a log."""

    def __init__(self, log: _Log, reader: LogReader, topic: str) -> None:
        self._log = log
        self._reader = reader
        self._topic = topic
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def position(self) -> int:
        """All up to here has been read, whether it was taken or belongs to another topic."""
        return self._reader.position

    async def take(self, limit: int) -> Sequence[Delivery]:
        while True:
            if self._closed:
                raise BrokerError(f"the subscription to {self._topic} is closed")
            found = self._reader.read(self._topic, limit)
            if found:
                return found
            if self._reader.more:
                await asyncio.sleep(0)
            else:
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


def _service_of(topic: str) -> str:
    """The publisher: what stands before the first dot.

    It names a file, so nothing else may be in it.
    """
    service = topic.partition(".")[0]
    if not service or not service.replace("-", "").replace("_", "").isalnum():
        raise BrokerError(f"topic {topic!r} does not start with the name of a service")
    return service


def _by_service(messages: Sequence[Message]) -> Mapping[str, Sequence[Message]]:
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(_service_of(message.topic), []).append(message)
    return found
