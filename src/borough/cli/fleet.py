"""`borough run PATH --topology NAME`: a process for each replica, kept running until told to stop.

What the processes say goes to standard error with their names in front. The first SIGTERM or Ctrl-C
drains them one wave after the other, a second one ends them at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from borough.cli.address import Address, forget_address, write_address
from borough.cli.output import complain, results, settle_output
from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.fleet.member import Member
from borough.fleet.supervisor import Launch, StartFailed, Supervisor
from borough.runtime.host import OWN_RESOURCES, make_folder
from borough.runtime.mocks import mocked
from borough.runtime.system import System, service_name
from borough.runtime.topology import make_topology
from borough.runtime.wiring import Plan, make_plan
from borough.services.identity import TokenIssuer

__all__ = ["run_fleet"]

_MOUNTS = "borough.console:mounts"


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
            self.system, resources=[TokenIssuer, *OWN_RESOURCES], stand_ins=stand_ins
        )
        written = self.system.configuration.options.topologies
        self.topology = make_topology(
            options.topology, written, [service_name(cls) for cls in whole.services]
        ).without(options.mock)
        self.folder = self.system.configuration.data_folder
        self.launch = Launch(
            path=str(Path(options.path).resolve()),
            flags={name: value for name, value in flags.items() if value is not None},
            mocks=tuple(options.mock),
            code=tuple(folder for folder in sys.path if folder),
            mounts=_MOUNTS,
            log_level=10 if options.verbose else 20,
        )
        self.stopping = asyncio.Event()
        self.address: Address | None = None

    async def run(self) -> int:
        make_folder(self.folder)
        self.supervisor = Supervisor(
            self.system, self.plan, self.topology, self.launch, clock=SystemClock(), watcher=self
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        starting = asyncio.ensure_future(self.supervisor.start())
        stopped = asyncio.ensure_future(self.stopping.wait())
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        try:
            starting.cancel()
            await starting
        except asyncio.CancelledError:
            return 130
        except StartFailed as error:
            complain(f"borough: {error}")
            return error.status
        try:
            self._leave_address()
            results(self._announce)
            await stopped
        finally:
            if self.address is not None:
                forget_address(self.folder, self.address)
            await self.supervisor.stop()
        return 0

    def _signalled(self) -> None:
        if self.stopping.is_set():
            self.supervisor.kill()
            settle_output()
            os._exit(130)
        complain("stopping; once more exits at once")
        self.stopping.set()

    def line(self, member: Member, text: str) -> None:
        """See `Watcher`."""
        complain(f"{member.name} | {text}")

    def changed(self, member: Member, sentence: str) -> None:
        """See `Watcher`."""
        if sentence:
            complain(f"{member.name} | {sentence}")

    def _leave_address(self) -> None:
        services = {
            service: f"http://{peer.host}:{peer.port}"
            for member in self.supervisor.members.values()
            for service, peer in member.peers().items()
        }
        self.address = Address(os.getpid(), self.supervisor.edge_url, "", services)
        write_address(self.folder, self.address)

    def _announce(self) -> None:
        members = self.supervisor.members.values()
        if self.options.json:
            document = {
                "system": self.system.name,
                "topology": self.topology.name,
                "pid": os.getpid(),
                "edge": self.supervisor.edge_url,
                "data": str(self.folder),
                "replicas": [_described(member) for member in members if member.ready is not None],
            }
            print(msgspec.json.encode(document).decode(), flush=True)
            return
        name = self.system.name
        print(
            f"{name} runs as {self.topology.name}: {len(members)} processes, data in {self.folder}\n"
        )
        width = max(len(member.name) for member in members)
        for member in members:
            print(f"  {member.name:<{width}}  pid {member.pid}  {member.where}")
        print("\nCtrl-C stops.", flush=True)


def _described(member: Member) -> dict[str, Any]:
    return {
        "replica": member.name,
        "deployable": member.deployable,
        "services": list(member.assignment.services),
        "pid": member.pid,
        "internal": None if member.is_door else member.where,
    }
