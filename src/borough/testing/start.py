"""Starts services of a system inside a test, in one of several modes, and stops them after it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, cast, get_args

from borough.clock import Clock
from borough.errors import BoroughError, ConfigurationError
from borough.gateway.process import Process
from borough.runtime.generations import rebuild
from borough.runtime.host import MakeTransport
from borough.runtime.system import System, contract_classes, service_name
from borough.services.context import Principal
from borough.services.data import Database
from borough.services.service import Service
from borough.testing.ports import free_port
from borough.transports.honest import Hardship, HonestTransport

__all__ = ["MODES", "Mode", "NotQuiet", "Running", "start"]

C = TypeVar("C")
Mode = Literal["local", "honest", "wire"]
MODES: tuple[Mode, ...] = get_args(Mode)


class NotQuiet(BoroughError):
    """Events were still unhandled when the patience of `quiet` ended; a failing handler is the cause."""


class Running:
    """A started system: typed clients, waiting until quiet, and what a test may want to look at."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def client(
        self,
        contract: Callable[..., C],
        *,
        user: str | Principal | None = None,
        caller: str | None = None,
        key: str | None = None,
    ) -> C:
        """A client of `contract`: for the end user `user`, on account of the service `caller` (by default
        the contract's own), with the idempotency key `key`. Raises `Forbidden` for an undeclared caller."""
        principal = Principal(user) if isinstance(user, str) else user
        return self._process.host.client(contract, caller=caller, principal=principal, key=key)

    async def quiet(self, timeout_s: float = 10.0) -> None:
        """Wait until every published event has been handled.

        Raises `NotQuiet`, with a failing handler's error as its cause, when that takes too long.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.host.quiet()
        except TimeoutError:
            self._tell_why(timeout_s)

    def _tell_why(self, timeout_s: float) -> NoReturn:
        carriage = self._process.host.carriage
        failures = carriage.failures if carriage is not None else []
        lines = [
            f"{handler} has failed {attempts} times on event {event_id}: {type(error).__name__}: {error}"
            for handler, event_id, attempts, error in failures
        ]
        what = "\n".join(lines) or "events are still on their way"
        cause = failures[0][3] if failures else None
        raise NotQuiet(f"not quiet after {timeout_s:g} s: {what}") from cause

    async def tick(self, schedule: str) -> None:
        """Run an `@every` handler (`payments.reconcile`) once, now. Raises what the handler raises,
        or `ConfigurationError` where no running service has it."""
        await self._process.host.tick(schedule)

    async def rebuild(self, projection: str) -> None:
        """Begin a new generation of a projection (`search.prices`), as `borough events rebuild` does.

        Raises `ConfigurationError` where no running service has it."""
        for service in self._process.host.services.values():
            for plan in service.plan.handlers:
                if plan.name == projection and plan.projection and service.store:
                    await rebuild(service.store, projection, plan.projection.tables)
                    return
        raise ConfigurationError(f"no running service has the projection {projection!r}")

    def database(self, service: str) -> Database:
        """A service's own database, to look into. Raises `ConfigurationError` where it has none."""
        found = self._process.host.services.get(service)
        if found is None or found.database is None:
            raise ConfigurationError(f"no service {service!r} with a database is running")
        return cast(Database, found.database)

    def service(self, name: str) -> Any:
        """The instance of a service. Raises `ConfigurationError` where it does not run here."""
        found = self._process.host.services.get(name)
        if found is None:
            raise ConfigurationError(f"no service {name!r} is running")
        return found.instance

    @property
    def edge_url(self) -> str:
        """Where the edge listens; only with `edge=True`."""
        return self._process.edge_url

    @property
    def data_folder(self) -> Path:
        """Where the databases and the event logs are."""
        return self._process.host.data_folder


@asynccontextmanager
async def start(
    system: System | str | os.PathLike[str],
    *,
    mode: Mode = "local",
    only: Sequence[str] | None = None,
    fakes: Mapping[Callable[..., Any], object] | None = None,
    settings: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    data: Path | None = None,
    edge: bool = False,
    hardship: Hardship | None = None,
) -> AsyncGenerator[Running]:
    """Start services and stop them at the end of the block.

    `only` names the services to run, all by default; `fakes` maps contracts to objects that answer
    them in place of their services, which are then not run; `settings` maps option paths
    (`services.payments.settings.issuer_url`) to values; `data`
    keeps the databases in a folder of yours; `edge=True` opens the public listener on a free port;
    `hardship` makes honest calls slow or fail. Raises `DeclarationFaults` or `ConfigurationError`.
    """
    if mode not in MODES:
        raise ConfigurationError(f"mode {mode!r} is none of {', '.join(MODES)}")
    if hardship is not None and mode != "honest":
        raise ConfigurationError(f'hardship is for mode="honest", not {mode!r}')
    chosen = _without_faked(_chosen(system, only, settings or {}), fakes or {})
    with tempfile.TemporaryDirectory(prefix="borough-test-", ignore_cleanup_errors=True) as folder:
        process = Process(
            chosen,
            clock=clock,
            stand_ins=fakes,  # type: ignore[arg-type]
            make_transport=_honest(hardship) if mode == "honest" else None,
            calls="wire" if mode == "wire" else "local",
            data_folder=data or Path(folder),
            edge_port=free_port() if edge else None,
            internal_port=free_port() if mode == "wire" else None,
        )
        await process.start()
        try:
            yield Running(process)
        finally:
            await process.stop()


def _chosen(
    system: System | str | os.PathLike[str], only: Sequence[str] | None, settings: Mapping[str, Any]
) -> System:
    if isinstance(system, System):
        whole = system.configured(system.configuration.with_flags(settings)) if settings else system
    else:
        whole = System.load(system, flags=settings, environment={})
    if only is None:
        return whole
    names = {service_name(cls): cls for cls in whole.services}
    for name in only:
        if name not in names:
            raise ConfigurationError(
                f"there is no service {name!r}; there are {', '.join(sorted(names))}"
            )
    return whole.narrowed([names[name] for name in only])


def _without_faked(system: System, fakes: Mapping[Callable[..., Any], object]) -> System:
    """The system without the services whose contracts are all faked."""
    kept: list[type[Service]] = []
    for cls in system.services:
        faked = [contract in fakes for contract in contract_classes(cls)]
        if any(faked) and not all(faked):
            raise ConfigurationError(
                f"{service_name(cls)} has contracts that are faked and others that are not; "
                "fake all of them, or none"
            )
        if not any(faked):
            kept.append(cls)
    return system if len(kept) == len(system.services) else system.narrowed(kept)


def _honest(hardship: Hardship | None) -> MakeTransport:
    return lambda host, _caller: HonestTransport(host.callees, host.clock, hardship)
