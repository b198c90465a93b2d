"""One running service: its instance, its database, its callees, its threads. A `Host` runs several."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.contracts.codec import Codec
from borough.contracts.operation import Contract
from borough.errors import BoroughError, ConfigurationError, MigrationRefused, OpenFailed
from borough.ports import Store, Transport
from borough.reliability.admission import Gate
from borough.runtime.adapters import store_kind
from borough.runtime.answers import KeyedCalls, KeyedOperation
from borough.runtime.blame import own_place
from borough.runtime.client import Caller, connect_client, empty_client
from borough.runtime.configuration import Configuration
from borough.runtime.database import ServiceDatabase
from borough.runtime.envelope import EventWriter
from borough.runtime.methods import SchedulePlan
from borough.runtime.pool import ThreadPool
from borough.runtime.projections import ServiceProjections
from borough.runtime.pulse import Pulse
from borough.runtime.reruns import rerun
from borough.runtime.seen_database import DatabaseSight
from borough.runtime.wiring import ServicePlan
from borough.services.context import CURRENT
from borough.stores.migrations import OWN, migrations_of
from borough.stores.schema import borough_migrations
from borough.telemetry.recorder import Recorder
from borough.telemetry.waiting import Waits
from borough.transports.callee import Callee

__all__ = ["Resources", "RunningService"]

_SYSTEMS = {"postgres": "postgresql"}
"""What OpenTelemetry calls a store, where that is another name."""
Resources = Mapping[type[Any], Callable[[str], Any]]
"""Further things a service may ask for by annotation: type -> maker, given the service's name."""


class RunningService:
    """Made from a plan, opened once, closed once."""

    def __init__(
        self,
        plan: ServicePlan,
        configuration: Configuration,
        clock: Clock,
        system: str,
        store: Store | None,
        recorder: Recorder | None = None,
    ) -> None:
        limits = configuration.options.limits
        self.plan = plan
        self.name = plan.name
        self.clock = clock
        self.gate = Gate(limits.calls_in_flight, limits.streams)
        self.pool = ThreadPool(plan.name, limits.threads, limits.thread_queue, recorder)
        self.store = store
        self.published = Pulse()
        self.database: ServiceDatabase | None = None
        self.keyed: KeyedCalls | None = None
        self.instance: Any = None
        self.projections = ServiceProjections(plan.name, clock)
        self._opened = False
        self.callees: dict[str, Callee] = {}
        self._clients: dict[str, Any] = {}
        self.caller = Caller(
            plan.name, clock, default_timeout_s=limits.default_timeout_s, recorder=recorder
        )
        self._recorder = recorder
        self._configuration = configuration
        if store is not None:
            source = f"/{system}/{plan.name}"
            events = [event for contract, _ in plan.provides for event in contract.events.values()]
            writers = {event.kind: EventWriter(event, source) for event in events}
            sight = waits = None
            if recorder is not None:
                waits = Waits(recorder, plan.name, "the idempotency key")
                kind = store_kind(configuration.options, plan.name)
                sight = DatabaseSight(plan.name, _SYSTEMS.get(kind, kind), recorder)
            self.database = ServiceDatabase(store, writers, clock, self.published, sight)
            self.keyed = KeyedCalls(store, clock, waits)

    async def open_data(self) -> None:
        """Open and migrate the database. Raises `ConfigurationError` or `MigrationRefused`."""
        if self.store is None:
            return
        await self.store.open()
        dialect = self.store.dialect
        try:
            await self.store.migrate(OWN, borough_migrations(dialect))
            migrations = migrations_of(self.plan.folder, dialect)
            if migrations:
                await self.store.migrate("service", migrations)
        except MigrationRefused as error:
            raise MigrationRefused(f"{self.name}: {error}") from error

    def build(self, resources: Resources) -> None:
        """Make the instance with everything it asked for, and the callees of its operations."""
        plan = self.plan
        self._clients = {
            attribute: empty_client(contract) for attribute, contract in plan.clients.items()
        }
        needs: dict[str, Any] = dict(self._clients)
        for attribute in plan.databases:
            needs[attribute] = self.database
        for attribute, kind in plan.settings.items():
            needs[attribute] = self._configuration.settings(plan.name, kind)
        for attribute, kind in plan.resources.items():
            needs[attribute] = resources[kind](plan.name)
        try:
            self.instance = plan.cls(**needs)
        except Exception as error:
            remedy = (
                "; its __init__ must take and pass on **dependencies"
                if isinstance(error, TypeError)
                else ""
            )
            raise OpenFailed(
                f"{plan.cls.__name__} cannot be made: {_said(error, plan.folder)}{remedy}"
            ) from error
        for contract, make in plan.provides:
            answering = self.instance if make is None else make(self.instance)
            missing = [name for name in contract.operations if not hasattr(answering, name)]
            if missing:
                raise ConfigurationError(
                    f"{plan.cls.__name__} provides {contract.name} by an object without {missing[0]}; "
                    "write that operation, too"
                )
            self.add_callees(contract, answering)

    def connect(self, transport: Transport) -> None:
        """Connect its clients, once every service has its callees."""
        for attribute, contract in self.plan.clients.items():
            connect_client(self._clients[attribute], contract, transport, self.caller)

    def add_callees(self, contract: Contract, answering: Any) -> None:
        """Make `answering`'s methods the callees of a contract."""
        idle = self._configuration.options.limits.stream_idle_s
        side_by_side = self.store is not None and self.store.dialect != "sqlite"
        again = partial(rerun, clock=self.clock) if side_by_side else None
        for operation in contract.operations.values():
            keyed = (
                KeyedOperation(self.keyed, Codec(operation))
                if operation.keyed and self.keyed
                else None
            )
            self.callees[operation.wire_name] = Callee(
                operation,
                getattr(answering, operation.name),
                self.gate,
                self.clock.monotonic,
                keyed=keyed,
                rerun=again,
                stream_idle_s=idle,
                recorder=self._recorder,
            )

    async def open(self) -> None:
        """Run the service's own `open`, on its own account. Its failure names the service and the line."""
        try:
            await self._own(self.instance.open)
        except BoroughError:
            raise
        except Exception as error:
            raise OpenFailed(
                f"{self.name} could not be opened: {_said(error, self.plan.folder)}"
            ) from error
        self._opened = True

    async def tick(self, schedule: SchedulePlan) -> None:
        """Run one of its schedules once, now, beside the one that runs by time."""
        run = getattr(self.instance, schedule.method)
        if not schedule.takes_transaction or self.database is None:
            await self._own(run)
            return
        async with self.database.transaction() as tx:
            await self._own(lambda: run(tx))

    async def _own(self, hook: Callable[[], Any]) -> None:
        call = self.caller.first_call()
        force_setattr(call, "pool", self.pool)
        force_setattr(call, "deadline", float("inf"))
        token = CURRENT.set(call)
        try:
            await hook()
        finally:
            CURRENT.reset(token)

    async def close(self) -> None:
        """Run the service's own `close` where its `open` has ended well, then give back threads and database."""
        opened, self._opened = self._opened, False
        try:
            if opened:
                await self._own(self.instance.close)
        finally:
            self.pool.close()
            if self.store is not None:
                await self.store.close()

    @property
    def migrations(self) -> Path:
        """The folder of its SQL migrations."""
        return self.plan.folder / "migrations"


def _said(error: Exception, folder: Path) -> str:
    """An error with the last place in the service's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    file, line = own_place(error)
    if own and Path(__file__).parent != folder:  # an application is opened by code of ours
        file, line = own[-1].filename, own[-1].lineno
    place = f" ({file}:{line})" if file else ""
    return f"{type(error).__name__}: {error}{place}"
