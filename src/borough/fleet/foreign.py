"""A service that is a command, as a process of a fleet: it is spoken to by its environment, by HTTP and by signals.

It has no line to its supervisor as a replica in Python has. What that would say is found out here: it is
ready when it answers so, it lives while it answers anything, and what it costs the kernel tells.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import ssl as tls
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import msgspec

from borough.clock import Clock
from borough.contracts.descriptor import describe, from_json, to_json
from borough.engines.ports import free_port
from borough.errors import ConfigurationError
from borough.fleet import leash
from borough.fleet.asking import Answer, ask
from borough.fleet.control import (
    AreYouQuiet,
    Assignment,
    Calm,
    Describe,
    Described,
    DirectoryChanged,
    Done,
    Drain,
    Failed,
    Figures,
    FromReplica,
    Ready,
    RunSchedule,
    Seen,
    ServiceSaid,
    ToReplica,
)
from borough.fleet.last_words import in_a_sentence
from borough.fleet.process import Process
from borough.fleet.surroundings import LOCAL, Surroundings
from borough.fleet.usage import cpu_seconds
from borough.runtime.foreign import ForeignService
from borough.transports.http.greeting import CONTRACTS, HELLO, Hello

__all__ = ["ForeignChild"]

_LIVES = "/livez"
_ASK_S = 5.0
_HELLO_S = 1.0
_LOOK_FIRST_S, _LOOK_LAST_S = 0.02, 0.25
_FIGURES_S = 1.0
_hello = msgspec.json.Decoder(Hello).decode


class ForeignChild:
    """One life of the command. It is started once it is told who takes calls: those whom it calls are ready by then."""

    def __init__(
        self,
        service: ForeignService,
        assignment: Assignment,
        surroundings: Surroundings,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._service = service
        self._name = f"{assignment.deployable}.{assignment.number}"
        self._around = surroundings
        self._clock = clock
        self._say = say
        self._said: asyncio.Queue[FromReplica | None] = asyncio.Queue()
        self._wanted = asyncio.Event()
        self._process: Process | None = None
        self._port = 0
        self._ssl: tls.SSLContext | None = None
        self._is_ready = self._is_leaving = self._is_killed = False
        self._last_line = ""
        self._last_answer = "it has not been asked yet"
        self._describing: set[asyncio.Task[None]] = set()
        self._task = asyncio.ensure_future(self._run())

    @property
    def pid(self) -> int | None:
        """The command's process, once there is one."""
        return self._process.pid if self._process is not None else None

    # --- what a member asks of it -----------------------------------------------------------------

    def tell(self, message: ToReplica) -> None:
        """Do, or answer, what a replica would."""
        match message:
            case DirectoryChanged():
                self._take_up(message)
            case Drain():
                self._is_leaving = True
                self._wanted.set()
                self._signal(signal.SIGTERM)
            case AreYouQuiet(number):
                self._said.put_nowait(Calm(number, True, 0))
            case RunSchedule(number, schedule):
                refusal = (
                    f"{self._service.name} is a command, of which no schedule {schedule} is known"
                )
                self._said.put_nowait(Done(number, refusal))
            case Describe(number):
                task = asyncio.ensure_future(self._describe(number))
                self._describing.add(task)
                task.add_done_callback(self._describing.discard)
            case Assignment():
                pass

    async def messages(self) -> AsyncIterator[FromReplica]:
        """What a replica would say, until it has gone."""
        while (message := await self._said.get()) is not None:
            yield message

    def come_forward(self) -> None:
        """It was never aside: how it loads its code is its own affair."""

    def kill(self) -> None:
        """End it at once, and whatever it has started in its process group."""
        self._is_killed = True
        self._wanted.set()
        self._signal(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait until it has ended and all it printed is read; its exit status, negative for a signal."""
        return await self._task

    # --- its life ---------------------------------------------------------------------------------

    async def _run(self) -> int:
        try:
            await self._wanted.wait()
            if self._is_leaving or self._is_killed:
                return 0
            status = await self._live()
            if not (self._is_ready or self._is_leaving):
                self._said.put_nowait(Failed(self._why(status), 1, False))
            return status
        except Exception as error:  # whatever it is, a member must hear of it
            reason = (isinstance(error, OSError) and error.strerror) or error
            self._said.put_nowait(Failed(f"cannot be started: {reason}", 1, False))
            return 1
        finally:
            for task in self._describing:
                task.cancel()
            self._said.put_nowait(None)
            with suppress(OSError):
                self._around.place_of_directory(self._name).unlink(missing_ok=True)

    async def _live(self) -> int:
        service = self._service
        self._ssl = await asyncio.to_thread(self._around.ssl)
        port = self._port = _own_port(service)
        process = self._process = await Process.begin(
            _on_leash([part.replace("{port}", str(port)) for part in service.argv]),
            self._around.variables(service, self._name, port),
            self._hear,
            folder=service.folder,
        )
        if self._is_killed:
            self._signal(signal.SIGKILL)
        elif self._is_leaving:
            self._signal(signal.SIGTERM)
        watching = asyncio.ensure_future(self._watch(process))
        try:
            await process.exited()
            while self._is_leaving and not self._is_killed and process.has_company():
                await self._clock.sleep(_LOOK_LAST_S)  # a shell around it ends first
        finally:
            watching.cancel()
            self._signal(signal.SIGKILL)  # what it has left behind would hold its port
            await asyncio.gather(watching, return_exceptions=True)
        return await process.ended()

    def _hear(self, line: str) -> None:
        self._last_line = line.strip() or self._last_line
        self._say(line)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal_group(number)

    def _why(self, status: int) -> str:
        """Why it has never been ready."""
        asked = f"GET {self._around.scheme}://{LOCAL}:{self._port}{self._service.ready}"
        if self._is_killed:
            return (
                f"has not been ready in time: {asked} is to be answered with 2xx, and {self._last_answer}; "
                "it is told its port in PORT"
            )
        how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
        said = f"; its last line: {in_a_sentence(self._last_line)}" if self._last_line else ""
        return (
            f"`{in_a_sentence(shlex.join(self._service.argv))}` in {self._service.folder} has ended {how} "
            f"before {asked} was answered{said}"
        )

    def _take_up(self, told: DirectoryChanged) -> None:
        """Write down who takes calls, and begin with the first one."""
        places = {
            service: [f"{self._around.scheme}://{peer.host}:{peer.port}" for peer in peers]
            for service, peers in told.replicas.items()
        }
        file = self._around.place_of_directory(self._name)
        draft = file.with_suffix(".draft")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(places))
            draft.replace(file)
        except OSError as error:  # it goes on with what it knows, as replicas do that hear nothing
            self._say(f"{file} cannot be written: {error.strerror}")
        self._wanted.set()
        self._said.put_nowait(Seen(told.number))

    # --- what is found out ------------------------------------------------------------------------

    async def _watch(self, process: Process) -> None:
        wait_s = _LOOK_FIRST_S
        while not (answer := await self._ask(self._service.ready, _ASK_S)).is_fine:
            if self._is_killed:
                return  # which is what it has answered
            self._last_answer = answer.sentence
            await self._clock.sleep(wait_s)
            wait_s = min(2 * wait_s, _LOOK_LAST_S)
        said = await self._greet()
        if not process.is_alive or self._is_killed:
            return  # somebody else has answered, or it did with its last breath
        self._is_ready = True
        self._said.put_nowait(self._ready(said))
        while True:
            if (await self._ask(_LIVES, _ASK_S)).status:
                self._said.put_nowait(Figures(None, 0, cpu_seconds(process.pid) or 0.0))
            await self._clock.sleep(_FIGURES_S)

    async def _greet(self) -> Hello:
        """What it says of itself, if it does."""
        answer = await self._ask(HELLO, _HELLO_S)
        # What cannot be read is not said; a nesting without end is no `DecodeError`.
        with suppress(msgspec.DecodeError, RecursionError):
            if answer.status == 200:
                return _hello(answer.body)
        return Hello("", "", {}, {})

    async def _describe(self, number: int) -> None:
        try:
            said = await self._description()
        except Exception as error:  # who has asked waits
            refusal = f"{self._name} cannot be described: {error}"
            self._said.put_nowait(Described(number, {}, refusal))
        else:
            self._said.put_nowait(Described(number, {self._service.name: said}))

    async def _description(self) -> ServiceSaid:
        """What it provides, as far as it tells, and what it needs, as the system knows that."""
        service, hello = self._service, await self._greet()
        provides: dict[str, str] = {}
        for name in hello.contracts:
            answer = await self._ask(CONTRACTS + name, _HELLO_S)
            # What cannot be read cannot be held against anything.
            with suppress(ConfigurationError, RecursionError, UnicodeDecodeError):
                if answer.status == 200:
                    from_json(answer.body)
                    provides[name] = answer.body.decode()
        needs = await asyncio.to_thread(
            lambda: {name: to_json(describe(each)).decode() for name, each in service.needs.items()}
        )
        version = hello.services.get(service.name) or service.version
        return ServiceSaid(version=version, provides=provides, needs=needs)

    def _ready(self, said: Hello) -> Ready:
        service = self._service
        return Ready(
            host=LOCAL,
            port=self._port,
            scheme=self._around.scheme,
            services={service.name: said.services.get(service.name) or service.version},
            contracts={name: offer.version for name, offer in said.contracts.items()},
            declares={service.name: tuple(service.needs)},
        )

    async def _ask(self, path: str, within_s: float) -> Answer:
        return await ask(LOCAL, self._port, path, within_s, self._ssl)


def _own_port(service: ForeignService) -> int:
    """Where it is to listen. Raises `ConfigurationError` where somebody does already."""
    if service.port is None:
        return free_port()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCAL, service.port))
        except OSError:
            raise ConfigurationError(
                f"port {service.port} (services.{service.name}.port) is taken by another process; "
                "end that, or name another port"
            ) from None
    return service.port


def _on_leash(argv: list[str]) -> list[str]:
    """The command, told to stop where this process ends without a word; Linux only."""
    if sys.platform != "linux":
        return argv
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *argv]
