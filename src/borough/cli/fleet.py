"""`borough run PATH --topology NAME`: a process for each replica, kept running until told to stop.

What the processes say goes to standard error with their names in front. The first SIGTERM or Ctrl-C
drains them one wave after the other, a second one ends them at once.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.address import Address, forget_address, other_first, write_address
from borough.cli.engines import chosen_engines
from borough.cli.fleet_view import FleetView
from borough.cli.keeping import kept
from borough.cli.output import results, settle_output
from borough.cli.ownership import told_of_owner
from borough.cli.patient_stream import PatientStream
from borough.cli.signals import hangs_up, quit_from_now_on
from borough.clock import SystemClock
from borough.console.mounting import is_shown
from borough.errors import ConfigurationError
from borough.fleet.commands import Answer, CommandSocket, Handler, Members, Say, Scale
from borough.fleet.commands import Rollout as RolloutRequest
from borough.fleet.control import DirectoryChanged
from borough.fleet.launch import Launch
from borough.fleet.member import Member
from borough.fleet.releases import Rollouts, rolled_out
from borough.fleet.supervisor import StartFailed, Supervisor
from borough.runtime.code import clear_away, reminders
from borough.runtime.foreign import foreign_names, foreign_services
from borough.runtime.host import OWN_RESOURCES, make_folder
from borough.runtime.mocks import mocked
from borough.runtime.system import System, service_name
from borough.runtime.topology import faults_of_others, make_topology
from borough.runtime.wiring import Plan, make_plan
from borough.services.identity import TokenIssuer
from borough.telemetry.masking import masked_url, without_secrets
from borough.transports.http.server import why_no_listener

__all__ = ["run_fleet"]

_MOUNTS = "borough.console.many_processes:fleet_mounts"
_TELLS = "borough.console.one_process:tells"
_LAST_LINES_S = 2.0
"""How long the end waits for a reader of standard error."""


def run_fleet(options: argparse.Namespace, flags: dict[str, Any]) -> int:
    """Run a system as many processes; returns the exit status."""
    if options.internal_port is not None:
        raise ConfigurationError(
            "--internal-port is for one process; each process of a fleet takes a free port"
        )
    return asyncio.run(_Fleet(options, flags).run())


class _Fleet:
    def __init__(self, options: argparse.Namespace, flags: dict[str, Any]) -> None:
        self.options = options
        whole = System.load(options.path, flags=flags)
        self.system, stand_ins = mocked(whole, options.mock)
        self.plan: Plan = make_plan(
            self.system,
            resources=[TokenIssuer, *OWN_RESOURCES],
            stand_ins=stand_ins,
            is_whole=True,
        )
        configuration = self.system.configuration
        self.foreign = foreign_services(configuration, self.plan.contracts, options.mock)
        commands = foreign_names(configuration.options.services)
        self.topology = make_topology(
            options.topology,
            configuration.options.topologies,
            [*(service_name(cls) for cls in whole.services), *commands],
            commands,
        ).mocking(options.mock)
        self.folder = self.system.configuration.data_folder
        self.launch = Launch(
            path=str(Path(options.path).resolve()),
            flags={name: value for name, value in flags.items() if value is not None}
            | self._grpc_ports(),
            code=tuple(folder for folder in sys.path if folder),
            mounts=_MOUNTS,
            tells=_TELLS,
            log_level=10 if options.verbose else 20,
        )
        self.stopping = asyncio.Event()
        self.address: Address | None = None
        self.otlp = ""
        self.supervisor: Supervisor | None = None
        self.rollouts: Rollouts | None = None
        self.stderr = PatientStream(sys.stderr.fileno())
        self.view = FleetView(
            self.stderr, self._members, [each.name for each in self.topology.deployables]
        )

    def _grpc_ports(self) -> dict[str, int]:
        """Replicas on one machine cannot share a port: each takes a free one where gRPC is wanted."""
        grpc = self.system.configuration.options.grpc
        wanted = {"grpc.port": grpc.port, "grpc.internal_port": grpc.internal_port}
        return {name: 0 for name, port in wanted.items() if port is not None}

    async def run(self) -> int:
        make_folder(self.folder)
        edge = self.system.configuration.options.edge
        _refuse_taken(edge.host, edge.port)
        clock = SystemClock()
        handlers: dict[type[Any], Handler] = {
            Scale: self._scale,
            RolloutRequest: self._roll_out,
            Members: self._tell_members,
        }
        commands = CommandSocket(self.folder, handlers)
        commands.take_folder()
        clear_away(self.folder)
        async with kept(self.system.configuration, clock) as keeper:
            launch = self.launch
            if keeper is not None:
                flags = {**launch.flags, "telemetry.keeper": keeper.url}
                launch = msgspec.structs.replace(launch, flags=flags)
                self.otlp = keeper.url
            return await self._run(launch, clock, commands)

    async def _run(self, launch: Launch, clock: SystemClock, commands: CommandSocket) -> int:
        left = rolled_out(self.folder, self.topology)
        others = faults_of_others(self.system, self.topology.name)
        for sentence in [*reminders(self.folder, left), *told_of_owner(self.folder), *others]:
            self.view.say(sentence)
        supervisor = Supervisor(
            self.system,
            self.plan,
            self.topology,
            launch,
            clock=clock,
            watcher=self,
            left=left,
            foreign=self.foreign,
        )
        self.supervisor = supervisor
        self.rollouts = Rollouts(self.system, supervisor, left)
        await commands.open()
        try:
            return await self._supervise(supervisor)
        finally:
            await commands.close()
            self.stderr.close(_LAST_LINES_S)
            quit_from_now_on()

    async def _supervise(self, supervisor: Supervisor) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        if hangs_up():  # the terminal has been closed, which may be said twice
            loop.add_signal_handler(signal.SIGHUP, self.stopping.set)
        starting = asyncio.ensure_future(supervisor.start())
        stopped = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            return 130
        except StartFailed as error:
            self.view.say(f"borough: {masked_url(without_secrets(str(error)))}")
            return error.status
        try:
            self.address = self._leave_address(supervisor)
            results(lambda: self._announce(supervisor))
            self.view.begin_table()
            await stopped
            self.view.end_table()
            down = supervisor.failed
        finally:
            if self.address is not None:
                forget_address(self.folder, self.address)
            await supervisor.stop()
            if self.rollouts is not None:
                await self.rollouts.close()
        return 1 if down else 0

    def _signalled(self) -> None:
        self.view.end_table()
        if self.stopping.is_set():
            if self.supervisor is not None:
                self.supervisor.kill()
            settle_output()
            os._exit(130)
        self.view.say("stopping; once more exits at once")
        self.stopping.set()

    def _members(self) -> list[Member]:
        return list(self.supervisor.members.values()) if self.supervisor is not None else []

    # --- what happens ------------------------------------------------------------------------------

    def line(self, member: Member, text: str) -> None:
        """See `Watcher`. A line for machines names its service itself."""
        if text.startswith("{") and self.system.configuration.options.telemetry.logs == "json":
            self.view.say(text)
        else:
            self.view.line(member.name, text)

    def changed(self, member: Member, sentence: str) -> None:
        """See `Watcher`."""
        if sentence:
            said = sentence + self._remedy(member) if member.state == "failed" else sentence
            self.view.line(member.name, said, is_loud=member.state in ("failed", "waiting"))
        if member.is_door and member.state == "ready":
            self._keep_address()  # it may have another port than the one before

    def _remedy(self, member: Member) -> str:
        """How one that stays down comes back, unless whoever has begun it just now sees to that."""
        supervisor = self.supervisor
        if supervisor is None or self.address is None or supervisor.is_changing:
            return ""
        wanted = f"{member.deployable}={len(supervisor.replicas_of(member.deployable))}"
        return f"; once the cause is mended, `borough scale {wanted} --data {self.folder}` begins it anew"

    def told(self, directory: DirectoryChanged) -> None:
        """See `Watcher`. Commands that look for a service find it where it is now."""
        self._keep_address()

    def _keep_address(self) -> None:
        if self.address is not None and self.supervisor is not None and not self.stopping.is_set():
            with suppress(ConfigurationError):  # a full disk ends nothing that runs
                self.address = self._leave_address(self.supervisor)

    def _leave_address(self, supervisor: Supervisor) -> Address:
        """Leave where everything is now, unless it stands there already."""
        services = {
            service: member.where
            for member in supervisor.members.values()
            for service in member.peers()
        }
        edge = self.address.edge if self.address is not None else ""
        with suppress(ConfigurationError):  # there may be no door now
            edge = supervisor.edge_url
        # Commands need not have metrics to be asked for.
        replicas = {
            each.name: each.where
            for each in supervisor.members.values()
            if each.peers() and not self._is_command(each)
        }
        engines = chosen_engines(self.system.configuration)
        address = Address(os.getpid(), edge, "", services, replicas, self.otlp, engines)
        if address != self.address:
            told = other_first(self.folder, write_address(self.folder, address), address)
            if told is not None and self.address is None:
                self.view.say(f"borough: {told}")
        return address

    async def _scale(self, request: Scale, say: Say) -> Answer:
        assert self.supervisor is not None
        for name, count in request.replicas.items():
            self.supervisor.scalable(name, count)  # nothing is done where not all can be
        done: dict[str, Sequence[Member]] = {}
        for name, count in request.replicas.items():
            try:
                done[name] = await self.supervisor.scale(name, count, say)
            except StartFailed as error:
                said = f"{_counted(done)}; {error}" if done else str(error)
                there = {
                    each: [
                        one for one in self.supervisor.replicas_of(each) if one.state != "failed"
                    ]
                    for each in request.replicas
                }
                return Answer(error.status, said, _listed(there))
        return Answer(0, _counted(done), _listed(done))

    async def _roll_out(self, request: RolloutRequest, say: Say) -> Answer:
        assert self.rollouts is not None
        answer = await self.rollouts.handle(request, say)
        self.view.say(f"borough: {masked_url(without_secrets(answer.sentence))}")
        return answer

    async def _tell_members(self, _request: Members, _say: Say) -> Answer:
        """What the door judges crash loops by, shows of who is down, and knows of commands, which tell it nothing."""
        found = [
            _how_it_is(member, is_command=self._is_command(member))
            for member in self._members()
            if not member.is_door
        ]
        return Answer(0, f"{len(found)} processes", {"members": found})

    def _is_command(self, member: Member) -> bool:
        return not self.foreign.keys().isdisjoint(member.assignment.services) and not member.is_door

    def _announce(self, supervisor: Supervisor) -> None:
        members = supervisor.members.values()
        if self.options.json:
            document = {
                "system": self.system.name,
                "topology": self.topology.name,
                "pid": os.getpid(),
                "edge": supervisor.edge_url,
                "data": str(self.folder),
                "replicas": [_described(member) for member in members],
            }
            print(msgspec.json.encode(document).decode(), flush=True)
            return
        name, count = self.system.name, len(members) + 1
        print(f"{name} runs as {count} processes ({self.topology.name}), data in {self.folder}\n")
        edge = self.system.configuration.options.edge
        rows = [("page", f"{supervisor.edge_url}/")] if edge.pages else []
        if is_shown(self.system.configuration):
            rows.append(("console", f"{supervisor.edge_url}/console"))
        rows.append(("docs", f"{supervisor.edge_url}/docs"))
        rows += [(member.name, _placed(member)) for member in members]
        width = max(len(title) for title, _ in rows)
        for title, where in rows:
            print(f"  {title:<{width}}  {where}")
        print("\nCtrl-C stops.", flush=True)


def _refuse_taken(host: str, port: int) -> None:
    """Raise `ConfigurationError` for a port that cannot be had: the public door opens last, when all else runs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (
                errno.EADDRINUSE,
                errno.EACCES,
            ):  # other faults the door itself tells better
                raise ConfigurationError(why_no_listener(host, port, error)) from None


def _placed(member: Member) -> str:
    grpc = f", gRPC at {', '.join(member.grpc)}" if member.grpc else ""
    return f"{member.where} (pid {member.pid}){grpc}"


def _how_it_is(member: Member, *, is_command: bool) -> dict[str, Any]:
    ended, failure = member.last_end, member.failure
    return {
        "name": member.name,
        "services": member.assignment.services,
        "state": member.state,
        "pid": member.pid,
        "version": member.version,
        "is_command": is_command,
        "restarts": member.restarts,
        "trouble": member.trouble,
        "why": None if failure is None else failure.sentence,
        "ended_at": None if ended is None else round(ended.at, 1),
        "last_words": () if ended is None else ended.last_words,
    }


def _counted(replicas: Mapping[str, Sequence[Any]]) -> str:
    """How many each has, for people to read."""
    said = ", ".join(f"{name} has {len(found)}" for name, found in replicas.items())
    return f"{said} replica{'' if said.endswith(' 1') else 's'}"


def _listed(replicas: Mapping[str, Sequence[Member]]) -> dict[str, Any]:
    """The replicas that each has, for `--json`."""
    return {name: [_described(each) for each in found] for name, found in replicas.items()}


def _described(member: Member) -> dict[str, Any]:
    return {
        "replica": member.name,
        "deployable": member.deployable,
        "services": list(member.assignment.services),
        "pid": member.pid,
        "internal": None if member.is_door else member.where,
        "grpc": member.grpc,
    }
