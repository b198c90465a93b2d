"""How other commands reach a running fleet: a request, what is said meanwhile, and an answer, as JSON lines.

What was asked for is done whether or not who has asked waits for it, unless the fleet is stopped.

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
import tempfile
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from borough.errors import BoroughError, ConfigurationError

__all__ = ["Answer", "CommandSocket", "Handler", "Members", "Rollout", "Say", "Scale", "ask_fleet"]

_log = logging.getLogger("borough.fleet")
_FILE = "fleet.sock"
_LONGEST_PATH = 100
"""Socket addresses hold some hundred bytes; a longer path is reached through a short link."""
_LONGEST_LINE = 1024 * 1024


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
_decode_answer: Callable[[bytes], Progress | Answer] = msgspec.json.Decoder(
    Progress | Answer
).decode


class CommandSocket:
    """The supervisor's end. `handlers` says what is done for each type of request."""

    def __init__(self, folder: Path, handlers: Mapping[type[Any], Handler]) -> None:
        self._path = folder / _FILE
        self._handlers = handlers
        self._serving: set[asyncio.Task[None]] = set()
        self._made: os.stat_result | None = None
        self._server: asyncio.Server | None = None
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
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=_LONGEST_LINE
            )
        except OSError as error:
            listener.close()
            await self.close()
            raise ConfigurationError(
                f"{self._path} cannot be made: {error.strerror or error}; name another --data"
            ) from error

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
        server, self._server = self._server, None
        if server is not None:
            server.close()
            serving = list(self._serving)
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            self._remove_socket()
        self._let_folder_go()

    def _remove_socket(self) -> None:
        """Where the folder was removed meanwhile, another fleet's may lie there."""
        with suppress(OSError):
            if self._made is not None and os.path.samestat(self._made, self._path.stat()):
                self._path.unlink()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


def _send(writer: asyncio.StreamWriter, said: Progress | Answer) -> None:
    if not writer.is_closing():  # who asked may not wait any more
        writer.write(msgspec.json.encode(said) + b"\n")


def ask_fleet(folder: Path, request: Request, say: Say = lambda _: None) -> Answer:
    """Ask the fleet that runs on this data; blocking, for commands. Raises `ConfigurationError`.

    `say` gets what is said on the way.
    """
    path = folder / _FILE
    said: Progress | Answer | None = None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        try:
            with _short(path) as short:
                connected.connect(short)
            connected.sendall(msgspec.json.encode(request) + b"\n")
            said = _heard(connected, say)
        except PermissionError:
            raise ConfigurationError(
                f"{path} is for the user who has started the fleet; be that user"
            ) from None
        except OSError:
            raise ConfigurationError(
                f"no fleet is known in {folder}; start it with `borough run --topology NAME`, or name --data"
            ) from None
        except msgspec.DecodeError:  # half a line, or what another version says
            said = None
    if not isinstance(said, Answer):
        raise ConfigurationError(f"the fleet in {folder} has ended before it answered")
    return said


def _heard(connected: socket.socket, say: Say) -> Progress | Answer | None:
    """The last that is said, what comes before it is handed to `say`."""
    said: Progress | Answer | None = None
    try:
        with connected.makefile("rb") as lines:
            for line in lines:
                said = _decode_answer(line)
                if isinstance(said, Progress):
                    say(said.sentence)
    except KeyboardInterrupt:
        say("the fleet goes on with it; its standard error tells what becomes of it")
        raise
    return said


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
