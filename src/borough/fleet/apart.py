"""A part of a system as a process of its own, where no supervisor tells: services, or the public door.

Where the others are stands in `[discovery]`. Who may call is what the code of the system declares, where
that is here, else `services.NAME.needs`; nobody may call because nothing is said of them.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Generic, TypeVar

from borough.clock import SystemClock
from borough.ending import each_ended
from borough.errors import ConfigurationError
from borough.gateway.edge_process import EdgeMounts, EdgeProcess
from borough.gateway.process import Mounts, Process
from borough.ports import Transport
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import ConfiguredDiscovery
from borough.runtime.host import Host
from borough.runtime.mocks import mocked
from borough.runtime.system import System, declared_contracts, service_name
from borough.runtime.topics import histories_heard
from borough.runtime.topology import answered_services

__all__ = ["DoorApart", "ServicesApart"]

P = TypeVar("P", Process, EdgeProcess)
_log = logging.getLogger("borough.fleet")


class _Apart(Generic[P]):
    """Starts and stops a process together with the look-up of the services that it calls."""

    process: P
    discovery: ConfiguredDiscovery
    called: Collection[str]

    async def start(self) -> None:
        """See `Process` and `EdgeProcess`. Raises `ConfigurationError`."""
        for service in sorted(self.called):
            for replica in self.discovery.replicas(service):  # too far for a token: told now
                self.process.proof.origin(service, replica.host, replica.port)
        try:
            await self.discovery.open(sorted(self.called))
            await self.process.start()
        except BaseException:
            await self.discovery.close()
            raise

    async def stop_in_time(self) -> str | None:
        """See `Process.stop_in_time`."""
        try:
            return await self.process.stop_in_time()
        finally:
            await self.discovery.close()

    async def stop(self) -> None:
        """Drain, and look up no more. Idempotent."""
        await each_ended([self.process.stop, self.discovery.close])


class ServicesApart(_Apart[Process]):
    """Services of `system` in one process; all other services of it answer elsewhere."""

    def __init__(
        self, system: System, services: Collection[str], mocks: Sequence[str], tells: Mounts
    ) -> None:
        """Raises `ConfigurationError` where it is not said where a called service is."""
        options = system.configuration.options
        clock = SystemClock()
        own = [cls for cls in system.services if service_name(cls) in services]
        part, stand_ins = mocked(system.narrowed(own), mocks)
        self.discovery = ConfiguredDiscovery(options.discovery, clock)
        self.process = Process(
            part,
            clock=clock,
            stand_ins=stand_ins,
            make_transport=self._transport,
            internal_port=options.internal.port,
            declared=_declared(system),
            tells=tells,
        )
        plan = self.process.host.plan
        calls = [
            (each.name, contract.service)
            for each in plan.services.values()
            for contract in each.clients.values()
            if contract.wire_name in plan.absent
            and contract.cls not in stand_ins
            and contract.service not in options.external
        ]
        self.called = {service for _, service in calls}
        for caller, service in calls:
            if not self.discovery.knows(service):
                raise ConfigurationError(
                    _nowhere(f"{caller} calls", service, options.discovery.static)
                )
        _warn_of_deaf_handlers(self.process.host)

    def _transport(self, _host: Host, caller: str) -> Transport:
        return self.process.nearest(self.discovery, caller)


class DoorApart(_Apart[EdgeProcess]):
    """The public door. It forwards to the services that `[discovery]` lists or, by DNS, to all."""

    def __init__(self, configuration: Configuration, mounts: EdgeMounts) -> None:
        """Raises `ConfigurationError` where no service is known."""
        options = configuration.options
        clock = SystemClock()
        self.discovery = ConfiguredDiscovery(options.discovery, clock)
        named = {name for name in options.discovery.static if self.discovery.knows(name)}
        if options.discovery.dns is not None:
            named |= set(options.services)
            # Of the code below the folder it reads the contracts alone.
            if any(configuration.folder.glob("*/contract.py")):
                named |= answered_services(System.load(configuration.folder, modules={}))
        self.called = named - set(options.external)
        if not self.called:
            raise ConfigurationError(
                "the public door forwards to nobody: say where services listen in "
                '[discovery.static], SERVICE = ["HOST:PORT"], or in discovery.dns'
            )
        self.process = EdgeProcess(
            configuration,
            sorted(self.called),
            self.discovery,
            port=options.edge.port,
            clock=clock,
            mounts=mounts,
        )

    def addresses(self) -> dict[str, str]:
        """Where each service is, as far as that is known now."""
        found = {name: self.discovery.replicas(name) for name in sorted(self.called)}
        scheme = self.process.proof.scheme
        return {
            name: f"{scheme}://{f'[{each[0].host}]' if ':' in each[0].host else each[0].host}:{each[0].port}"
            for name, each in found.items()
            if each
        }


def _declared(system: System) -> dict[str, frozenset[str]]:
    """Which contracts each service may call. Code counts; facts do where there is none."""
    declared = {
        name: frozenset(facts.needs)
        for name, facts in system.configuration.options.services.items()
        if facts.needs
    }
    heard = histories_heard(system)
    for cls in system.services:
        name = service_name(cls)
        declared[name] = declared_contracts(cls) | heard.get(name, frozenset())
    return declared


def _nowhere(who: str, service: str, listed: Iterable[str]) -> str:
    close = difflib.get_close_matches(service, listed, 1)
    meant = f"; discovery.static has {close[0]}, is that meant?" if close else ""
    return (
        f"{who} {service}, which does not run in this process, and nothing says where it is{meant} "
        f'Write {service} = ["HOST:PORT"] into [discovery.static], or set discovery.dns, '
        f"or answer it from examples with --mock {service}"
    )


def _warn_of_deaf_handlers(host: Host) -> None:
    """The embedded broker carries events through the data folder, and so on one machine only."""
    if host.configuration.options.events.broker != "embedded":
        return
    plan, folder = host.plan, host.data_folder
    publishers = {
        event.kind: contract.service
        for contract in plan.absent.values()
        for event in contract.events.values()
    }
    for service in plan.services.values():
        for handler in service.handlers:
            for publisher in sorted({publishers.get(event.kind, "") for event in handler.events}):
                if publisher and not (folder / f"{publisher}.db").exists():
                    _log.warning(
                        "EVENTS: %s hears %s, which does not run here and has no database in %s. "
                        "Events travel through the data folder: unless %s is about to start on this one, "
                        "none will arrive. Run both on one machine with the same --data",
                        handler.name, publisher, folder, publisher,
                    )  # fmt: skip
