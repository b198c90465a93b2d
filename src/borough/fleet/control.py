"""What a supervisor and its processes say to each other: JSON lines over an inherited socket.

The end of the stream means that the other side is gone. A replica then drains and stops, so that
no process outlives its supervisor.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

from borough.runtime.code import Code
from borough.services.data import Dialect

__all__ = [
    "AreYouQuiet",
    "Assignment",
    "Calm",
    "Channel",
    "Describe",
    "Described",
    "DirectoryChanged",
    "Done",
    "Drain",
    "Failed",
    "Figures",
    "FromReplica",
    "Leaving",
    "Peer",
    "Ready",
    "RunSchedule",
    "Seen",
    "ServiceSaid",
    "ToReplica",
]

M = TypeVar("M")
_LONGEST = 16 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, tag=True):
    """One line, told from the others by its type's name."""


class Assignment(Message, frozen=True, kw_only=True):
    """The first line: what the process is to run.

    `services` of the public door, the deployable `edge`, are all that may be reached by it.
    """

    path: str
    """The system's folder."""
    flags: dict[str, Any]
    """Options by path, laid over borough.toml and the environment."""
    deployable: str
    number: int
    services: tuple[str, ...]
    mocks: tuple[str, ...] = ()
    """Services that are answered from their examples."""
    mocked: tuple[str, ...] = ()
    """Their contracts, `module:Class`: not all of them are below the system's folder."""
    stood_in: tuple[str, ...] = ()
    """Services elsewhere that another process answers in place of: they are not called at their URL."""
    modules: dict[str, str] = {}
    """The modules of these services."""
    code: tuple[str, ...] = ()
    """Folders in which modules are looked for, before those that Python has anyway."""
    version: Code = Code()
    """What was rolled out."""
    mounts: str | None = None
    """What else the public door serves, and what any other process tells it: `module:function`."""
    log_level: int = 20


class Peer(msgspec.Struct, frozen=True):
    """A replica that takes calls for a service, and the service's version there."""

    id: str
    host: str
    port: int
    version: str = ""


class DirectoryChanged(Message, frozen=True):
    """Who takes calls now, by service, and which contracts each service declares to call.

    It is the whole truth. `number` grows; the replica answers with `Seen`.
    """

    number: int
    replicas: dict[str, tuple[Peer, ...]]
    declared: dict[str, tuple[str, ...]]


class Drain(Message, frozen=True):
    """Finish what runs, then end. By now nobody is told any more that this replica takes calls."""


class AreYouQuiet(Message, frozen=True):
    """Is any event on its way or being handled? Answered by `Calm`."""

    number: int


class RunSchedule(Message, frozen=True):
    """Run an `@every` handler once, now. Answered by `Done`."""

    number: int
    schedule: str


class Describe(Message, frozen=True):
    """What do your services rely on? Answered by `Described`, also before the start."""

    number: int


class ServiceSaid(msgspec.Struct, frozen=True, kw_only=True):
    """What others rely on in a service, and what it relies on. Contracts are descriptors as JSON."""

    version: str = ""
    provides: dict[str, str] = {}
    """The contracts that it answers, by wire name."""
    needs: dict[str, str] = {}
    """The contracts that it calls, as it knows them."""
    hears: dict[str, str] = {}
    """The contract of each event that it hears, by the event's wire name."""
    handlers: dict[str, tuple[str, ...]] = {}
    """The events that each handler hears, by its durable name; without projections."""
    declares: tuple[str, ...] = ()
    """All contracts, by wire name, that it may call for that."""
    migrations: tuple[tuple[str, str], ...] = ()
    """Name and SQL, in order."""
    applied: tuple[str, ...] = ()
    """The names of those that its database has."""
    unfit: str = ""
    """Why its database cannot take them, empty where it can."""
    dialect: Dialect = "sqlite"
    """What they are written in."""


class Ready(Message, frozen=True, kw_only=True):
    """It takes calls: where, and for what."""

    host: str | None = None
    port: int | None = None
    scheme: str = "http"
    """How the services there are spoken to: `https` with certificates."""
    grpc: tuple[str, ...] = ()
    """Where it takes calls by gRPC: of the public, of services."""
    edge: str | None = None
    """The public URL, of the door."""
    services: dict[str, str] = {}
    """The services it runs, each with its version."""
    contracts: dict[str, str] = {}
    """The contracts it answers by wire name, each with its version."""
    declares: dict[str, tuple[str, ...]] = {}
    """Which contracts each of its services calls."""


class Figures(Message, frozen=True):
    """Once a second: requests since the start, calls at work, CPU seconds used, answers with a 5xx.

    `requests` is None where nobody can tell.
    """

    requests: int | None
    in_flight: int
    cpu_s: float
    failures: int = 0


class Failed(Message, frozen=True):
    """It could not start: one sentence, and the exit status that one process would have.

    `is_final`: another start would fail in the same way. `is_outside`: its database could not be had, or no process,
    which says nothing about it.
    """

    sentence: str
    status: int
    is_final: bool
    is_outside: bool = False


class Leaving(Message, frozen=True):
    """Somebody else has told it to stop; it drains once it is told that nobody calls it any more."""


class Seen(Message, frozen=True):
    """It has taken up the directory of this number."""

    number: int


class Calm(Message, frozen=True):
    """Whether it was quiet, and a count that grows with everything it does for events."""

    number: int
    quiet: bool
    activity: int
    failures: tuple[str, ...] = ()
    """A sentence for each event that waits to be tried again."""
    given_up: tuple[str, ...] = ()
    """The same for each that was given up since the last time."""


class Done(Message, frozen=True):
    """What was asked for is done, or why not."""

    number: int
    refusal: str | None = None


class Described(Message, frozen=True):
    """Its services, by name, or why that cannot be said."""

    number: int
    services: dict[str, ServiceSaid] = {}
    refusal: str | None = None


ToReplica = Assignment | DirectoryChanged | Drain | AreYouQuiet | RunSchedule | Describe
FromReplica = Ready | Figures | Failed | Leaving | Seen | Calm | Done | Described


class Channel:
    """One end of the line between a supervisor and a process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, connected: socket.socket) -> Channel:
        """A channel over a connected socket, which it owns from now on."""
        reader, writer = await asyncio.open_unix_connection(sock=connected, limit=_LONGEST)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Say something; nothing happens where the other side has gone."""
        if not self._writer.is_closing():
            self._writer.write(msgspec.json.encode(message) + b"\n")

    async def flush(self) -> None:
        """Wait until the other side can have what was said."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    async def receive(self, kind: Any) -> AsyncIterator[Any]:
        """Messages of `kind` until the other side has gone."""
        decode = msgspec.json.Decoder(kind).decode
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            yield decode(line)

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._writer.close()
