"""How other commands reach a running fleet: a request, what is said meanwhile, and an answer, as JSON lines.

The fleet says a word first and again and again: nothing is asked of one that says none, and who waits for what is
being done hears that it is. That is done whether or not who has asked waits for it, unless the fleet is stopped.

The socket lies in the data folder and is for its owner only; a lock on the folder makes sure that one fleet
at a time has it, as two that start at once would each find nobody there. A new command is a `Request` here and
an entry of what is handed to `CommandSocket`.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from borough.errors import BoroughError, ConfigurationError, Unavailable

__all__ = ["Answer", "CommandSocket", "Handler", "Members", "Rollout", "Say", "Scale", "ask_fleet"]

_log = logging.getLogger("borough.fleet")
_FILE = "fleet.sock"
_LONGEST_PATH = 100
"""Socket addresses hold some hundred bytes; a longer path is reached through a short link."""
_LONGEST_LINE = 1024 * 1024
_PIECE = 64 * 1024
_PEER = struct.Struct("3i")
"""Process, user and group."""
_BEAT_S = 1.0
_SHORT_S = 0.2
"""So long nobody is heard while the machine is short of files or memory."""
_LOOK_S = 0.05
_SILENT_S = 5.0
"""After so long without a word it is said that one is waited for."""
_PATIENCE_S = 30.0
"""So long a first word is waited for."""


class Scale(msgspec.Struct, frozen=True, tag="scale"):
    """Have so many replicas of each of these deployables."""

    replicas: dict[str, int]


class Rollout(msgspec.Struct, frozen=True, tag="rollout"):
    """Let a service run another version, whose code lies at `source`, a whole path."""

    service: str
    source: str


class Members(msgspec.Struct, frozen=True, tag="members"):
    """How is each process, and how often has it ended by itself?"""


Request = Scale | Rollout | Members
"""What may be asked."""


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The supervisor is well: it takes requests, or is at work on one."""


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """What has been done so far, in a sentence."""

    sentence: str


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """What became of it: the exit status for the command, what to say, and the facts for `--json`."""

    status: int
    sentence: str
    facts: dict[str, Any] = {}


Say = Callable[[str], None]
Handler = Callable[[Any, Say], Awaitable[Answer]]
"""Does what was asked for, and says meanwhile how far it is."""
_decode_request = msgspec.json.Decoder(Request).decode
Said = Beat | Progress | Answer
_decode_said: Callable[[bytes], Said] = msgspec.json.Decoder(Said).decode


class CommandSocket:
    """The supervisor's end. `handlers` says what is done for each type of request."""

    def __init__(self, folder: Path, handlers: Mapping[type[Any], Handler]) -> None:
        self._path = folder / _FILE
        self._handlers = handlers
        self._serving: set[asyncio.Task[None]] = set()
        self._made: os.stat_result | None = None
        self._listener: socket.socket | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._lock: int | None = None

    async def open(self) -> None:
        """Listen. Raises `ConfigurationError` where another fleet does, or the folder takes no socket."""
        self.take_folder()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            before = os.umask(0o177)  # nobody else may ever connect
            try:
                with _short(self._path) as short:
                    listener.bind(short)
            finally:
                os.umask(before)
            self._made = self._path.stat()
            listener.listen()
        except OSError as error:
            listener.close()
            await self.close()
            raise ConfigurationError(
                f"{self._path} cannot be made: {error.strerror or error}; name another --data"
            ) from error
        listener.setblocking(False)
        self._listener = listener
        self._hearing = asyncio.ensure_future(self._hear(listener))

    def take_folder(self) -> None:
        """Have the folder, before anything is written there; the end of this process, however it comes, frees it.

        Raises `ConfigurationError` where another fleet has it. Idempotent.
        """
        if self._lock is not None:
            return
        folder = self._path.parent
        try:
            self._lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._let_folder_go()
            if not isinstance(error, BlockingIOError):
                raise ConfigurationError(
                    f"{folder} cannot be locked: {error.strerror or error}; name another --data"
                ) from error
            raise ConfigurationError(
                f"a fleet runs on the data in {folder} already; stop it, or name another --data"
            ) from None

    def _let_folder_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    async def close(self) -> None:
        """Take the socket away; what is still being done is given up, and that is answered. Idempotent."""
        hearing, self._hearing = self._hearing, None
        listener, self._listener = self._listener, None
        if hearing is not None and listener is not None:
            ending = [hearing, *self._serving]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            listener.close()
            self._remove_socket()
        self._let_folder_go()

    def _remove_socket(self) -> None:
        """Where the folder was removed meanwhile, another fleet's may lie there."""
        with suppress(OSError):
            if self._made is not None and os.path.samestat(self._made, self._path.stat()):
                self._path.unlink()

    async def _hear(self, listener: socket.socket) -> None:
        """Take connections. A server of asyncio's complains of a shortage hundreds of times a second."""
        is_short = False
        while True:
            try:
                found, _ = await asyncio.get_running_loop().sock_accept(listener)
                is_short = False
                self._accept(*await asyncio.open_unix_connection(sock=found, limit=_LONGEST_LINE))
            except OSError as error:
                if not is_short:
                    reason = error.strerror or error
                    _log.warning("commands cannot reach this fleet now: %s", reason)
                is_short = True
                await asyncio.sleep(_SHORT_S)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beating = asyncio.ensure_future(_beat(writer))
        try:

            def say(sentence: str) -> None:
                _send(writer, Progress(sentence))

            _send(writer, await self._answer(await reader.readline(), say))
            await writer.drain()
        except asyncio.CancelledError:
            _send(writer, Answer(1, "the fleet was stopped before that was done"))
            raise
        except (ValueError, ConnectionError):
            pass  # a line without an end, or somebody who does not wait
        finally:
            beating.cancel()
            writer.close()

    async def _answer(self, line: bytes, say: Say) -> Answer:
        try:
            request = _decode_request(line)
        except msgspec.DecodeError as error:
            return Answer(
                2, f"this fleet does not understand that: {error}; is it of another version?"
            )
        try:
            return await self._handlers[type(request)](request, say)
        except BoroughError as error:
            return Answer(getattr(error, "status", 2), str(error))
        except Exception as error:
            _log.exception("a command to the fleet has failed")
            return Answer(
                1, f"the fleet runs on, and could not do that: {type(error).__name__}: {error}"
            )


async def _beat(writer: asyncio.StreamWriter) -> None:
    while True:
        _send(writer, Beat())
        await asyncio.sleep(_BEAT_S)


def _send(writer: asyncio.StreamWriter, said: Said) -> None:
    if not writer.is_closing():  # who asked may not wait any more
        writer.write(msgspec.json.encode(said) + b"\n")


def ask_fleet(
    folder: Path,
    request: Request,
    say: Say = lambda _: None,
    *,
    silent_s: float = _SILENT_S,
    patience_s: float = _PATIENCE_S,
) -> Answer:
    """Ask the fleet that runs on this data; blocking, for commands.

    `say` gets what is said on the way, also that nothing is heard for `silent_s`.
    Raises `ConfigurationError`, and `Unavailable` for a fleet that has not said a first word after `patience_s`: then
    nothing was asked of it. What it was asked is waited for as long as it takes.
    """
    path = folder / _FILE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.settimeout(silent_s)
        asker = _Asker(connected, folder, say, patience_s)
        try:
            with _short(path) as short:
                asker.reach(short)
            answer = asker.ask(request)
        except PermissionError:
            raise ConfigurationError(
                f"{path} is for the user who has started the fleet; be that user"
            ) from None
        except OSError:
            raise ConfigurationError(
                f"no fleet is known in {folder}; start it with `borough run --topology NAME`, or name --data"
            ) from None
        except msgspec.DecodeError:  # what another version says
            answer = None
    if answer is None:
        raise ConfigurationError(f"the fleet in {folder} has ended before it answered")
    return answer


class _Asker:
    """Who asks, at the end of a connection that gives up a reading after a while."""

    def __init__(self, connected: socket.socket, folder: Path, say: Say, patience_s: float) -> None:
        self._connected = connected
        self._folder = folder
        self._say = say
        self._patience_s = patience_s
        self._has_asked = False

    def reach(self, path: str) -> None:
        """Connect, once there is room for one more who waits. Raises `Unavailable` after a while."""
        waited_s = 0.0
        while True:
            try:
                self._connected.connect(path)
            except BlockingIOError:
                if waited_s >= self._patience_s:
                    raise self.unheard() from None
                time.sleep(_LOOK_S)
                waited_s += _LOOK_S
            else:
                return

    def ask(self, request: Request) -> Answer | None:
        """Ask once a first word is heard; None for a fleet that ends before it answers."""
        try:
            return self._ask(request)
        except ConnectionError:  # what it has said before is of no use any more
            return None
        except KeyboardInterrupt:
            if self._has_asked:
                self._say("the fleet goes on with it; its standard error tells what becomes of it")
            raise

    def _ask(self, request: Request) -> Answer | None:
        for said in self._hear():
            if not self._has_asked:
                self._connected.sendall(msgspec.json.encode(request) + b"\n")
                self._has_asked = True
            match said:
                case Answer():
                    return said
                case Progress(sentence):
                    self._say(sentence)
                case Beat():
                    pass
        return None

    def unheard(self) -> Unavailable:
        """Why it is given up."""
        return Unavailable(
            f"{self._fleet} does not answer, and nothing was asked of it: its process is stopped or hangs, "
            "or is of an earlier version; let it go on (`kill -CONT`), or end it and start the fleet anew"
        )

    def _hear(self) -> Iterator[Said]:
        """Each word, as it comes. Raises `Unavailable`."""
        left, silent_s = b"", 0.0
        while True:
            try:
                data = self._connected.recv(_PIECE)
            except TimeoutError:
                silent_s += self._connected.gettimeout() or 0.0
                self._wait_on(silent_s)
                continue
            if not data:
                return
            silent_s = 0.0
            *lines, left = (left + data).split(b"\n")
            yield from map(_decode_said, lines)

    def _wait_on(self, silent_s: float) -> None:
        """Say once of each silence that one is waited for; give up only what was not asked."""
        if not self._has_asked and silent_s >= self._patience_s:
            raise self.unheard()
        if silent_s == self._connected.gettimeout():
            most = "" if self._has_asked else f", {self._patience_s:g} s at most"
            self._say(f"{self._fleet} has said nothing for {silent_s:g} s; it is waited for{most}")

    @property
    def _fleet(self) -> str:
        return f"the fleet in {self._folder}{_process_behind(self._connected)}"


def _process_behind(connected: socket.socket) -> str:
    """The process that listens at the other end, for people to read, where the system tells."""
    if sys.platform != "linux":
        return ""
    try:
        told = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    except OSError:
        return ""
    pid, _, _ = _PEER.unpack(told)
    return f" (pid {pid})" if pid > 0 else ""


@contextmanager
def _short(path: Path) -> Generator[str]:
    """A path to the same place that a socket address can hold."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="borough-") as folder:
        link = Path(folder) / "d"
        link.symlink_to(path.parent)
        yield str(link / path.name)
