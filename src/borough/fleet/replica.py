"""One process of a fleet: runs the services of a deployable, or the public door, as its supervisor says.

It is told by its first line what to run, and from then on who else takes calls. It stops when it is
told to, or when the supervisor is gone: `python -m borough.fleet.replica FILE_NUMBER NAME`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import operator
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borough.clock import SystemClock
from borough.errors import (
    MENDED_BY_NO_RESTART,
    BoroughError,
    ConfigurationError,
    OpenFailed,
    StoreUnavailable,
)
from borough.fleet.alone import end_alone
from borough.fleet.control import (
    AreYouQuiet,
    Assignment,
    Calm,
    Channel,
    Describe,
    Described,
    DirectoryChanged,
    Done,
    Drain,
    Failed,
    Figures,
    Leaving,
    Ready,
    RunSchedule,
    Seen,
    ToReplica,
)
from borough.fleet.descriptions import descriptions_of
from borough.fleet.ways import Declared, take_up
from borough.gateway.process import Process
from borough.ports import Transport
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import Directory
from borough.runtime.distributions import enter_release
from borough.runtime.footing import (
    LEFT_BEHIND,
    allow_many_files,
    run_to_the_end,
    settle_memory,
)
from borough.runtime.host import Host
from borough.runtime.loop_watch import watched_loop
from borough.runtime.mocks import mocked
from borough.runtime.system import System
from borough.telemetry.logs import begin_logging
from borough.telemetry.masking import masked_url, without_secrets
from borough.transports.http.wire import EDGE

if TYPE_CHECKING:
    from borough.gateway.edge_process import EdgeProcess

__all__ = ["main"]

_log = logging.getLogger("borough.fleet")
_FIGURES_S = 1.0
_LEAVE_S = 2.0
"""Who was told to stop by a signal waits that long until nobody calls it any more."""
_FINAL = (*MENDED_BY_NO_RESTART, OpenFailed)


class _Replica:
    """The process as its supervisor sees it."""

    def __init__(self, assignment: Assignment, channel: Channel) -> None:
        self._channel = channel
        self._clock = SystemClock()
        self._directory = Directory()
        self._declared: Declared = {}
        self._told = asyncio.Event()
        self._stop = asyncio.Event()
        self._is_left = False
        self._beats = 0
        self._asked: set[asyncio.Task[None]] = set()
        mounts: Any = None
        if assignment.mounts is not None:
            module, _, function = assignment.mounts.partition(":")
            mounts = getattr(importlib.import_module(module), function)
        make = self._door if assignment.deployable == EDGE else self._services
        self.process = make(assignment, mounts)
        inside = self.process.system if isinstance(self.process, Process) else self.process
        self._silent_s = inside.configuration.options.fleet.silent_s

    def _door(self, assignment: Assignment, mounts: Any) -> EdgeProcess:
        from borough.gateway.edge_process import EdgeProcess  # one process of a fleet is the door

        folder = Path(assignment.path)
        configuration = Configuration.load(folder, os.environ, assignment.flags)
        return EdgeProcess(
            configuration,
            assignment.services,
            self._directory,
            port=configuration.options.edge.port,
            clock=self._clock,
            mounts=mounts,
        )

    def _services(self, assignment: Assignment, tells: Any) -> Process:
        version = assignment.version
        for release in reversed(version.releases.values()):
            enter_release(Path(release))
        system = System.load(
            assignment.path,
            flags=assignment.flags,
            modules=assignment.modules,
            package=Path(version.folder) if version.folder else None,
        )
        system, stand_ins = mocked(
            system.standing_in(assignment.stood_in),
            assignment.mocks,
            [_class_at(place) for place in assignment.mocked],
        )
        return Process(
            system,
            clock=self._clock,
            stand_ins=stand_ins,
            make_transport=self._transport,
            internal_port=0,
            declared=self._declared,
            tells=tells,
        )

    def _transport(self, _host: Host, caller: str) -> Transport:
        assert isinstance(self.process, Process)
        return self.process.nearest(self._directory, caller)

    async def run(self, messages: AsyncIterator[ToReplica]) -> int:
        """Start, serve until told to stop, drain; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        end_alone(self._silent_s, lambda: self._beats)
        listening = asyncio.ensure_future(self._listen(messages))
        stopping = asyncio.ensure_future(self._stop.wait())
        starting = asyncio.ensure_future(self._start())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            if listening.done():
                listening.result()
            return 0  # what was started has been stopped again
        figures = asyncio.ensure_future(self._tell_figures())
        with watched_loop(self._clock):
            await stopping
        left = await self.process.stop_in_time()  # and tells figures: its loop goes on
        figures.cancel()
        if left is not None:
            _log.error("%s", left)
            os._exit(LEFT_BEHIND)
        if listening.done():
            listening.result()
        self._channel.close()
        await asyncio.gather(figures, listening, *self._asked, return_exceptions=True)
        return 0

    async def _start(self) -> None:
        await self._told.wait()  # whoever calls at its start must find others
        allow_many_files()
        await self.process.start()
        settle_memory()
        self._channel.send(_ready(self.process))

    async def _listen(self, messages: AsyncIterator[ToReplica]) -> None:
        """Do what the supervisor says; who hears none any more has nothing left to run for."""
        try:
            async for message in messages:
                match message:
                    case DirectoryChanged():
                        await self._take_up(message)
                    case Drain():
                        self._stop.set()
                    case AreYouQuiet(number):
                        self._begin(self._answer_quiet(number))
                    case RunSchedule(number, schedule):
                        self._begin(self._run_schedule(number, schedule))
                    case Describe(number):
                        self._begin(self._describe(number))
                    case Assignment():
                        pass
        finally:
            self._stop.set()

    async def _take_up(self, told: DirectoryChanged) -> None:
        try:
            await asyncio.to_thread(self.process.proof.open, (), {EDGE, *told.declared})
        except ConfigurationError as error:
            if not self._told.is_set():
                raise
            _log.error("%s", error)  # who cannot be known is refused; all others are served
        take_up(told, self._directory, self._declared)
        self._told.set()
        self._channel.send(Seen(told.number))

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    def _signalled(self) -> None:
        if self._is_left:
            os._exit(130)
        self._is_left = True
        self._channel.send(Leaving())
        asyncio.get_running_loop().call_later(_LEAVE_S, self._stop.set)

    async def _tell_figures(self) -> None:
        process = self.process
        while True:
            self._beats += 1
            used = resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = used.ru_utime + used.ru_stime
            self._channel.send(
                Figures(process.requests, process.in_flight, cpu_s, process.failures)
            )
            await self._clock.sleep(_FIGURES_S)

    async def _answer_quiet(self, number: int) -> None:
        if not isinstance(self.process, Process):
            self._channel.send(Calm(number, True, 0))
            return
        host = self.process.host
        seen = host.activity.count
        quiet = await host.is_quiet() and host.activity.count == seen
        carriage = host.carriage
        said = () if carriage is None else tuple(carriage.told_failures())
        given_up = () if carriage is None else tuple(carriage.take_given_up())
        self._channel.send(Calm(number, quiet, seen, said, given_up))

    async def _describe(self, number: int) -> None:
        """Say what the services rely on, or why that cannot be said."""
        process = self.process
        try:
            assert isinstance(process, Process)
            versions = _versions(process)
            said = await asyncio.to_thread(descriptions_of, process.host, versions)
        except BoroughError as error:
            self._channel.send(Described(number, refusal=_failed(error).sentence))
        else:
            self._channel.send(Described(number, said))

    async def _run_schedule(self, number: int, schedule: str) -> None:
        try:
            if not isinstance(self.process, Process):
                raise ConfigurationError("the public door has no schedules")
            await self.process.host.tick(schedule)
        except Exception as error:
            self._channel.send(Done(number, f"{type(error).__name__}: {error}"))
        else:
            self._channel.send(Done(number))


def _class_at(place: str) -> type[Any]:
    module, _, name = place.partition(":")
    found: type[Any] = operator.attrgetter(name)(importlib.import_module(module))
    return found


def _ready(process: Process | EdgeProcess) -> Ready:
    if not isinstance(process, Process):
        return Ready(edge=process.edge_url)
    host = process.host
    place, port = process.internal_origin
    return Ready(
        host=place,
        port=port,
        scheme=process.proof.scheme,
        grpc=() if process.grpc is None else process.grpc.addresses,
        services=_versions(process),
        contracts={contract.wire_name: contract.mark.version for contract in host.contracts},
        declares={name: tuple(sorted(names)) for name, names in host.declared.items()},
    )


def _versions(process: Process) -> dict[str, str]:
    """The version of each service that answers here, mocked or not: of its distribution, else of its
    newest contract."""
    plan = process.host.plan
    versions: dict[str, str] = dict.fromkeys(plan.services, "")
    own = [contract for each in plan.services.values() for contract, _ in each.provides]
    # The host has none of its own before its start.
    for contract in [*own, *process.host.contracts]:
        newest = versions.get(contract.service, "")
        versions[contract.service] = max(newest, contract.mark.version, key=_order)
    return versions | process.system.versions


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def _failed(error: BoroughError) -> Failed:
    sentence = masked_url(without_secrets(str(error)))
    return Failed(
        sentence,
        _status(error),
        isinstance(error, _FINAL),
        is_outside=isinstance(error, StoreUnavailable),
    )


def _status(error: BoroughError) -> int:
    return 2 if isinstance(error, MENDED_BY_NO_RESTART) else 1


async def _run(connected: socket.socket) -> int:
    channel = await Channel.over(connected)
    messages = channel.receive(ToReplica)
    assignment = await anext(messages, None)
    if not isinstance(assignment, Assignment):
        return 0  # the supervisor has gone before it could say anything
    begin_logging(assignment.log_level)
    sys.path[:0] = [folder for folder in assignment.code if folder not in sys.path]
    try:
        return await _Replica(assignment, channel).run(messages)
    except BoroughError as error:
        channel.send(_failed(error))
        status = _status(error)
    except Exception as error:
        _log.exception("the start failed")
        channel.send(Failed(f"{type(error).__name__}: {error}", 1, False))
        status = 1
    await channel.flush()
    channel.close()
    return status


def main() -> int:
    """Run what the supervisor at the other end of the inherited socket says."""
    return run_to_the_end(_run(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    sys.exit(main())
