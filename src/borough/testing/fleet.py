"""The mode `processes`: the services under test run as a fleet, and the test stands beside it.

Its clients call through the directory, as services do; its fakes answer at a listener of the test's
own process. What only one process can have (a clock of the test's, an instance) is refused.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

from borough.clock import SystemClock
from borough.contracts.reading import contract_mark
from borough.errors import BoroughError, ConfigurationError, Unavailable
from borough.fleet.control import Calm, DirectoryChanged, Peer
from borough.fleet.launch import Launch
from borough.fleet.member import Member
from borough.fleet.supervisor import Supervisor
from borough.fleet.ways import take_up
from borough.gateway.process import Process
from borough.ports import StoreTransaction, Transport
from borough.runtime.adapters import make_store
from borough.runtime.callers import declared_callers
from borough.runtime.database import ServiceDatabase
from borough.runtime.discovery import Directory
from borough.runtime.envelope import EventWriter
from borough.runtime.generations import rebuild
from borough.runtime.host import OWN_RESOURCES, Host, no_such
from borough.runtime.pulse import Pulse
from borough.runtime.system import System, service_name
from borough.runtime.topology import FLEET, make_topology
from borough.runtime.wiring import Plan, ServicePlan, make_plan
from borough.services.data import Database, Reader, Transaction
from borough.services.identity import TokenIssuer
from borough.testing.running import NotQuiet, Running, projections_of, refuse_given_up

__all__ = ["start_fleet"]

_LOOK_AGAIN_S = 0.02


class FleetOfTest(Running):
    """A started fleet, seen by its test."""

    def __init__(self, process: Process, supervisor: Supervisor, plan: Plan) -> None:
        super().__init__(process)
        self._supervisor = supervisor
        self._plan = plan
        self._databases: dict[str, _Beside] = {}
        self._given_up: list[str] = []

    async def quiet(self, timeout_s: float = 10.0) -> None:
        """See `Running`. Every process is asked, until twice in a row all say so."""
        self._check_loop()
        calms: list[Calm] = []
        try:
            async with asyncio.timeout(timeout_s):
                before: list[tuple[str, int]] | None = None
                while True:
                    calms = await self._look()
                    names = [member.name for member in self._supervisor.members.values()]
                    now = [(name, calm.activity) for name, calm in zip(names, calms, strict=False)]
                    all_quiet = len(calms) == len(names) and all(calm.quiet for calm in calms)
                    if all_quiet and now == before:
                        break
                    before = now if all_quiet else None
                    await self._process.clock.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            said = [line for calm in calms for line in calm.failures]
            what = "\n".join(said) or "events are still on their way"
            raise NotQuiet(f"not quiet after {timeout_s:g} s: {what}") from None
        given_up, self._given_up = self._given_up, []
        refuse_given_up(given_up)

    async def _look(self) -> list[Calm]:
        """What each process says, in the order of the members; fewer where one does not run."""
        asked = [
            member.is_quiet()
            for member in self._supervisor.members.values()
            if member.state == "ready"
        ]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, Unavailable):
                raise each
        calms = [each for each in found if isinstance(each, Calm)]
        self._given_up += [sentence for calm in calms for sentence in calm.given_up]
        return calms

    async def tick(self, schedule: str) -> None:
        """See `Running`. Raises `BoroughError` with what the handler has raised."""
        self._check_loop()
        for service in self._plan.services.values():
            if any(plan.name == schedule for plan in service.schedules):
                refusal = await self._member(service.name).run_schedule(schedule)
                if refusal is not None:
                    raise BoroughError(f"{schedule}: {refusal}")
                return
        services = self._plan.services.values()
        there = [plan.name for service in services for plan in service.schedules]
        raise ConfigurationError(no_such("schedule", schedule, there))

    async def rebuild(self, projection: str) -> None:
        """See `Running`."""
        self._check_loop()
        for service in self._plan.services.values():
            for plan in service.handlers:
                if plan.name == projection and plan.projection:
                    beside = self._beside(service)
                    await beside.opened()
                    await rebuild(beside.store, projection, plan.projection.tables)
                    return
        there = projections_of(self._plan.services.values())
        raise ConfigurationError(no_such("projection", projection, there))

    def _member(self, service: str) -> Member:
        for member in self._supervisor.members.values():
            if service in member.assignment.services and member.state == "ready":
                return member
        raise Unavailable(f"no process of {service} is ready")

    def database(self, service: str) -> Database:
        """See `Running`. It is opened beside the service's own process."""
        self._check_loop(or_none=True)
        plan = self._plan.services.get(service)
        if plan is None or not plan.needs_database:
            raise ConfigurationError(f"no service {service!r} with a database is running")
        return cast(Database, self._beside(plan))

    def _beside(self, plan: ServicePlan) -> _Beside:
        if plan.name not in self._databases:
            self._databases[plan.name] = _Beside(plan, self._process.host)
        return self._databases[plan.name]

    def service(self, name: str) -> NoReturn:
        """Refused: the instance lives in another process."""
        raise ConfigurationError(
            f"the instance of {name} lives in another process; ask it by a client, or look into its database"
        )

    @property
    def edge_url(self) -> str:
        """See `Running`."""
        return self._supervisor.edge_url

    async def close(self) -> None:
        """Close what the test has looked into."""
        for database in self._databases.values():
            await database.close()


class _Beside:
    """A service's database, opened by the test when it first looks into it."""

    def __init__(self, plan: ServicePlan, host: Host) -> None:
        self.store = make_store(host.configuration, host.data_folder, plan.name, host.clock)
        events = [event for contract, _ in plan.provides for event in contract.events.values()]
        source = f"/{host.system.name}/{plan.name}"
        writers = {event.kind: EventWriter(event, source) for event in events}
        self.dialect = self.store.dialect
        self._database = ServiceDatabase(self.store, writers, host.clock, Pulse())
        self._opening: asyncio.Task[None] | None = None

    async def opened(self) -> ServiceDatabase:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self.store.open())
        await asyncio.shield(self._opening)  # who gives up waiting takes it from nobody
        return self._database

    async def one(self, *question: Any) -> Any:
        return await (await self.opened()).one(*question)

    async def maybe(self, *question: Any) -> Any:
        return await (await self.opened()).maybe(*question)

    async def all(self, *question: Any) -> Any:
        return await (await self.opened()).all(*question)

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Reader]:
        async with (await self.opened()).snapshot() as reader:
            yield reader

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[StoreTransaction]:
        async with (await self.opened()).transaction() as tx:
            yield tx

    async def transact(self, body: Callable[[Transaction], Awaitable[Any]]) -> Any:
        return await (await self.opened()).transact(body)

    async def close(self) -> None:
        if self._opening is not None:
            await asyncio.wait([self._opening])
            await self.store.close()


class _Beholder:
    """Knows who takes calls, and passes on what the processes say: pytest shows it beside a test that fails."""

    def __init__(self) -> None:
        self.directory = Directory()

    def line(self, member: Member, text: str) -> None:
        print(f"{member.name} | {text}", file=sys.stderr)

    def changed(self, member: Member, sentence: str) -> None:
        if sentence:
            print(f"{member.name} | {sentence}", file=sys.stderr)

    def told(self, directory: DirectoryChanged) -> None:
        take_up(directory, self.directory, {})


@asynccontextmanager
async def start_fleet(
    system: System,
    *,
    fakes: Mapping[Callable[..., Any], object],
    flags: Mapping[str, Any],
    environment: dict[str, str],
    data: Path,
    has_door: bool,
) -> AsyncGenerator[Running]:
    """Start the services of `system`, a folder's, as a process each; stop them in the end."""
    plan = make_plan(
        system,
        resources=[TokenIssuer, *OWN_RESOURCES],
        stand_ins=fakes,  # type: ignore[arg-type]
        is_whole=True,
    )
    topology = make_topology(FLEET, {}, [service_name(cls) for cls in system.services])
    beholder = _Beholder()

    def transport(_host: Host, caller: str) -> Transport:
        return process.nearest(beholder.directory, caller)

    process = Process(
        system.narrowed(()),
        stand_ins=fakes,  # type: ignore[arg-type]
        make_transport=transport,
        data_folder=data,
        internal_port=0,
        declared=declared_callers(plan),
    )
    await process.start()
    try:
        host, port = process.internal_origin
        faked = {mark.service for each in fakes if (mark := contract_mark(each)) is not None}
        launch = Launch(
            path=str(system.configuration.folder),
            flags={**flags, "data.folder": str(data)},
            code=tuple(folder for folder in sys.path if folder),
            has_door=has_door,
            environment=environment,
        )
        supervisor = Supervisor(
            system,
            plan,
            topology,
            launch,
            clock=SystemClock(),
            watcher=beholder,
            apart={service: Peer(f"test/{service}", host, port) for service in faked},
        )
        await supervisor.start()
        running = FleetOfTest(process, supervisor, plan)
        try:
            yield running
        finally:
            try:
                await running.close()
            finally:
                await supervisor.stop()
    finally:
        await process.stop()
