"""A process that runs services: opens them in order, carries their events, stops them in reverse.

The host knows no listener; the gateway puts doors in front of `routes`. Start: databases, event log,
instances, their `open`, then relays, consumers and schedules. Stop: schedules and consumers, relays,
`close`, databases.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from borough.clock import Clock, SystemClock
from borough.contracts.operation import Contract, Operation
from borough.ending import each_ended
from borough.errors import BoroughError, ConfigurationError, Forbidden
from borough.ports import Broker, Store, Transport
from borough.reliability.admission import Gate
from borough.runtime.callers import declared_callers
from borough.runtime.carriage import Carriage
from borough.runtime.chosen import Adapters, ChosenAdapters
from borough.runtime.client import Caller, make_client
from borough.runtime.external import Externals
from borough.runtime.history import HistoryKeeper, Past, history_contract
from borough.runtime.housekeeping import refuse_short_inbox
from borough.runtime.outside_sight import OutsideSight
from borough.runtime.oversights import oversights
from borough.runtime.pulse import Pulse
from borough.runtime.push import Pushes
from borough.runtime.recording import make_recorder
from borough.runtime.running import Resources, RunningService
from borough.runtime.system import System
from borough.runtime.wiring import Plan, ServicePlan, make_plan
from borough.services.context import CURRENT, Principal
from borough.services.outside import Outside
from borough.services.projections import Projections
from borough.transports.callee import Callee
from borough.transports.http.door import Route
from borough.transports.local import LocalTransport

__all__ = ["OWN_RESOURCES", "Host", "MakeTransport", "make_folder", "undeclared"]

C = TypeVar("C")
_log = logging.getLogger("borough.host")
OWN_RESOURCES: tuple[type[Any], ...] = (Clock, Outside, Path, Projections)
"""What every service may ask for by annotation: the clock, hosts outside, a folder of its own, its projections."""
MakeTransport = Callable[["Host", str], Transport]
"""Makes the transport on which a service (named second) calls others."""


class Host:
    """Runs the services of a system in this process.

    `stand_ins` maps contract classes to objects that answer them (fakes, mocks). `only` names the
    services to run, all by default. Raises `DeclarationFaults` at once when the wiring is wrong.
    """

    def __init__(
        self,
        system: System,
        *,
        clock: Clock | None = None,
        resources: Resources | None = None,
        stand_ins: Mapping[type[Any], Any] | None = None,
        make_transport: MakeTransport | None = None,
        data_folder: Path | None = None,
        declared_apart: Mapping[str, Collection[str]] | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        """`declared_apart` says which contracts the services of other processes declare to call;
        `adapters` stand behind the ports in place of those that the configuration chooses."""
        self.system = system
        self.configuration = system.configuration
        self.clock: Clock = clock or SystemClock()
        self.data_folder = data_folder or self.configuration.data_folder
        self.activity = Pulse()
        self.recorder = make_recorder(self.configuration, self.clock)
        self._resources: Resources = {
            Clock: lambda _service: self.clock,
            Outside: lambda service: OutsideSight(service, self.recorder),
            Path: self._folder,
            Projections: lambda service: self.services[service].projections,
            **(resources or {}),
        }
        self._stand_ins = dict(stand_ins or {})
        self.plan: Plan = make_plan(
            system,
            resources=self._resources,
            stand_ins=self._stand_ins,
            is_whole=declared_apart is None,
        )
        nobody: Mapping[str, Collection[str]] = {}
        self._declared_apart = nobody if declared_apart is None else declared_apart
        self._make_transport: MakeTransport = make_transport or _local
        self._transports: dict[str, Transport] = {}
        self._pushes = Pushes(self.configuration, self.plan, self.clock)
        self._externals = Externals(
            self.configuration, self.plan, self._stand_ins, self.clock, self.recorder
        )
        self.services: dict[str, RunningService] = {}
        self.callees: dict[str, Callee] = {}
        self._adapters = adapters or ChosenAdapters(
            self.configuration, self.data_folder, self.clock
        )
        self.broker: Broker = self._adapters.broker()
        self.carriage: Carriage | None = None
        self.state = "new"

    @property
    def ready(self) -> bool:
        """Whether every service has been opened and none is stopping."""
        return self.state == "ready"

    @property
    def called_elsewhere(self) -> Collection[str]:
        """The services of `[external]` that are called from here at their URL."""
        return self._externals.names

    async def start(self) -> None:
        """Start everything. On a failure what was started is stopped again, and the failure raised."""
        self.state = "starting"
        try:
            await self._start()
        except BaseException:
            try:
                await self.stop()
            except Exception:  # the first failure is the one to tell
                _log.exception("stopping after a failed start failed, too")
            raise
        self.state = "ready"

    async def _start(self) -> None:
        make_folder(self.data_folder)
        refuse_short_inbox(self.plan, self.configuration.options)
        for plan in self.plan.services.values():
            for kind in plan.settings.values():
                self.configuration.settings(
                    plan.name, kind
                )  # what is missing is told before all else
            self.services[plan.name] = RunningService(
                plan,
                self.configuration,
                self.clock,
                self.system.name,
                self._store(plan),
                self.recorder,
            )
        self._pushes.open()
        unread = self.configuration.unread_variables(self.plan.absent_services)
        for sentence in [*unread, *oversights(self.plan, self.configuration.options)]:
            _log.warning("%s", sentence)
        await self._externals.check()
        await self._each([service.open_data() for service in self.services.values()])
        await self.broker.open()
        for service in self.services.values():
            service.build(self._resources)
            self.callees.update(service.callees)
        if not self.broker.keeps_history:
            self._serve_history()
        self._answer_stand_ins()
        pools = {service.name: service.pool for service in self.services.values()}
        for service in self.services.values():
            service.caller.pools.update(pools)
            service.connect(self._transport(service.name))
        options = self.configuration.options
        past = None if self.broker.keeps_history else self._past
        self.carriage = Carriage(
            self.services, self.broker, self.clock, self.activity, options, self._pushes, past
        )
        await self.carriage.register()
        await self._each([service.open() for service in self.services.values()])
        await self.carriage.start()

    async def _each(self, starts: Sequence[Any]) -> None:
        """Run starts side by side; the first failure is raised as itself, after all have ended."""
        results = await asyncio.gather(*starts, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _serve_history(self) -> None:
        """Have each publisher answer for what it retains; the broker does not."""
        for service in self.services.values():
            if (
                service.store is not None
                and service.database is not None
                and service.database.events
            ):
                service.add_callees(history_contract(service.name), HistoryKeeper(service.store))
                self.callees.update(service.callees)

    def _past(self, service: RunningService, topic: str) -> Past:
        """What a service reads the history of a topic with, wherever its publisher runs."""
        publisher = history_contract(self.plan.contracts[topic].service)
        reader = make_client(publisher, self._transport(service.name), service.caller)
        return Past(topic, reader)

    def _folder(self, service: str) -> Path:
        """A service's own folder, for what it keeps beside its database."""
        folder = self.data_folder / service
        make_folder(folder)
        return folder

    def _transport(self, caller: str) -> Transport:
        if caller not in self._transports:
            self._transports[caller] = self._externals.beside(self._make_transport(self, caller))
        return self._transports[caller]

    def _store(self, plan: ServicePlan) -> Store | None:
        if not plan.needs_database:
            return None
        return self._adapters.store(plan.name, _deadline)

    def _answer_stand_ins(self) -> None:
        for contract in self.plan.absent.values():
            answering = self._stand_ins.get(contract.cls)
            if answering is None:
                continue
            limits = self.configuration.options.limits
            gate = Gate(limits.calls_in_flight, limits.streams)
            for operation in contract.operations.values():
                handler = getattr(answering, operation.name, None)
                self.callees[operation.wire_name] = Callee(
                    operation,
                    _no_answer(operation) if handler is None else handler,
                    gate,
                    self.clock.monotonic,
                    recorder=self.recorder,
                )

    async def stop(self) -> None:
        """Stop everything that was started, in reverse order. Idempotent."""
        if self.state == "stopped":
            return
        self.state = "stopping"
        steps: list[Callable[[], Any]] = []
        if self.carriage is not None:
            steps.append(lambda: self.carriage.stop(self.configuration.options.limits.drain_s))  # type: ignore[union-attr]
        steps.append(self._pushes.close)
        steps += [service.close for service in reversed(self.services.values())]
        steps += [transport.close for transport in self._transports.values()]
        steps.append(self.broker.close)
        try:
            await each_ended(steps)
        except Exception:
            self.state = "stopped"
            raise
        self.state = "stopped"

    @property
    def routes(self) -> list[Route]:
        """Every operation that this process answers, for a door."""
        return [Route(callee, self._pool(callee)) for callee in self.callees.values()]

    def _pool(self, callee: Callee) -> Any:
        service = self.services.get(callee.operation.contract.service)
        return service.pool if service is not None else None

    @property
    def contracts(self) -> list[Contract]:
        """Every contract that is answered here, by name."""
        wanted = {name.rpartition(".")[0] for name in self.callees}
        return [
            contract for name, contract in sorted(self.plan.contracts.items()) if name in wanted
        ]

    @property
    def declared(self) -> dict[str, frozenset[str]]:
        """See `declared_callers`."""
        return declared_callers(self.plan)

    def client(
        self,
        contract: Callable[..., C],
        *,
        caller: str | None = None,
        principal: Principal | None = None,
        key: str | None = None,
        make_caller: Callable[..., Caller] = Caller,
    ) -> C:
        """A client of a contract for use outside of any service (tests, commands).

        `caller` is the service on whose account it calls, by default the contract's own service;
        `key` is the idempotency key of its keyed calls; `make_caller` is `Caller`, or a closer one. Raises
        `Forbidden` for a caller that has not declared the dependency, `BoroughError` for a contract that is
        not of this system.
        """
        found = next((c for c in self.plan.contracts.values() if c.cls is contract), None)
        if found is None:
            raise BoroughError(
                f"{getattr(contract, '__name__', contract)} is no contract of this system"
            )
        account = caller or found.service
        declared = {**self._declared_apart, **self.declared}
        if account != found.service and found.wire_name not in declared.get(account, ()):
            raise Forbidden(undeclared(account, found))
        pools: dict[str, Any] = {service.name: service.pool for service in self.services.values()}
        timeout_s = self.configuration.options.limits.default_timeout_s
        on_account = make_caller(
            account,
            self.clock,
            default_timeout_s=timeout_s,
            principal=principal,
            key=key,
            pools=pools,
            recorder=self.recorder,
        )
        return make_client(found, self._transport(account), on_account)  # type: ignore[no-any-return]

    async def tick(self, schedule: str) -> None:
        """Run an `@every` handler (`payments.reconcile`) once, now. Raises what the handler raises,
        or `ConfigurationError` where no running service has it."""
        for service in self.services.values():
            for plan in service.plan.schedules:
                if plan.name == schedule:
                    await service.tick(plan)
                    return
        there = [each.name for service in self.services.values() for each in service.plan.schedules]
        raise ConfigurationError(no_such("schedule", schedule, there))

    async def is_quiet(self) -> bool:
        """Whether, at this moment, no event is on its way and nothing is being handled."""
        return self.carriage is None or await self.carriage.is_quiet()

    async def quiet(self) -> None:
        """Wait until no event is on its way and nothing is being handled."""
        if self.carriage is not None:
            await self.carriage.quiet()


def _local(host: Host, _caller: str) -> Transport:
    return LocalTransport(host.callees)


def _no_answer(operation: Operation) -> Callable[..., NoReturn]:
    def answer(*_arguments: object) -> NoReturn:
        raise NotImplementedError(
            f"what stands in for {operation.contract.name} has no {operation.name}"
        )

    return answer


def no_such(kind: str, name: str, there: Iterable[str]) -> str:
    """The sentence that no running service has something of this name."""
    known = ", ".join(sorted(there)) or "none"
    return f"no running service has the {kind} {name!r}; there is {known}"


def undeclared(caller: str, contract: Contract) -> str:
    """The sentence that names a missing declaration."""
    return f"{caller} does not declare {contract.wire_name}: add an attribute annotated with {contract.name}"


def _deadline() -> float | None:
    call = CURRENT.get()
    return None if call is None or call.deadline == float("inf") else call.deadline


def make_folder(folder: Path) -> None:
    """Make the data folder. Raises `ConfigurationError` where it cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be made: {error.strerror}; "
            "name a writable one with --data or [data] folder in borough.toml"
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the data folder {folder} is not writable; name another with --data or [data] folder in borough.toml"
        )
