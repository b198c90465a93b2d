"""What a test holds of a started system: typed clients, waiting until quiet, looking into it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from borough.errors import BoroughError, ConfigurationError
from borough.gateway.process import Process
from borough.observing.observer import Observer
from borough.runtime.client import Caller
from borough.runtime.generations import rebuild
from borough.runtime.host import no_such
from borough.runtime.wiring import ServicePlan
from borough.services.context import Call, Principal
from borough.services.data import Database
from borough.telemetry.recorder import Recorder
from borough.transports.http.client import running_loop

__all__ = ["NotQuiet", "Running", "projections_of", "refuse_given_up"]

C = TypeVar("C")


class NotQuiet(BoroughError):
    """Events were still unhandled when the patience of `quiet` ended, or were given up.

    A failing handler is the cause.
    """


class _CallerInLoop(Caller):
    """On whose account a test calls: only in the loop in which the system runs."""

    __slots__ = ("_check",)

    def __init__(self, *about: Any, check: Callable[[], None], **further: Any) -> None:
        super().__init__(*about, **further)
        self._check = check

    def first_call(self) -> Call:
        self._check()
        return super().first_call()


class Running:
    """A started system: typed clients, waiting until quiet, and what a test may want to look at."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()

    def _check_loop(self, *, or_none: bool = False) -> None:
        """Refuse another loop than that of `start`: nothing here bears two, and some would wait for ever."""
        loop = running_loop()
        if loop is not self._loop and not (or_none and loop is None):
            raise BoroughError(
                "the system was started in another event loop than this one. A fixture that starts it and the tests "
                "that use it share one: with pytest-asyncio give both the same loop_scope, as "
                '@pytest_asyncio.fixture(scope="module", loop_scope="module") and '
                '@pytest.mark.asyncio(loop_scope="module"). '
                "A thread calls by asyncio.run_coroutine_threadsafe(..., loop)"
            )

    def client(
        self,
        contract: Callable[..., C],
        *,
        user: str | Principal | None = None,
        caller: str | None = None,
        key: str | None = None,
    ) -> C:
        """A client of `contract`: for the end user `user`, on account of the service `caller` (by default
        the contract's own), with the idempotency key `key`. Raises `Forbidden` for an undeclared caller.

        It calls in the event loop of `start` alone, in another one it raises `BoroughError`; so does all below."""
        self._check_loop(or_none=True)
        principal = Principal(user) if isinstance(user, str) else user
        return self._process.host.client(
            contract,
            caller=caller,
            principal=principal,
            key=key,
            make_caller=partial(_CallerInLoop, check=self._check_loop),
        )

    async def quiet(self, timeout_s: float = 10.0) -> None:
        """Wait until every published event has been handled, and every `@every` that is due has run.

        Raises `NotQuiet`, with a failing handler's error as its cause, when that takes too long, and for
        events that were given up (dead letters) since the last time.
        """
        self._check_loop()
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.host.quiet()
        except TimeoutError:
            self._tell_why(timeout_s)
        carriage = self._process.host.carriage
        refuse_given_up([] if carriage is None else carriage.take_given_up())

    def _tell_why(self, timeout_s: float) -> NoReturn:
        carriage = self._process.host.carriage
        failures = carriage.failures if carriage is not None else []
        lines = carriage.told_failures() if carriage is not None else []
        what = "\n".join(lines) or "events are still on their way"
        cause = failures[0][3] if failures else None
        raise NotQuiet(f"not quiet after {timeout_s:g} s: {what}") from cause

    async def tick(self, schedule: str) -> None:
        """Run an `@every` handler (`payments.reconcile`) once, now. Raises what the handler raises,
        or `ConfigurationError` where no running service has it."""
        self._check_loop()
        await self._process.host.tick(schedule)

    async def rebuild(self, projection: str) -> None:
        """Begin a new generation of a projection (`search.prices`), as `borough events rebuild` does.

        Raises `ConfigurationError` where no running service has it."""
        self._check_loop()
        for service in self._process.host.services.values():
            for plan in service.plan.handlers:
                if plan.name == projection and plan.projection and service.store:
                    await rebuild(service.store, projection, plan.projection.tables)
                    return
        plans = [service.plan for service in self._process.host.services.values()]
        raise ConfigurationError(no_such("projection", projection, projections_of(plans)))

    def database(self, service: str) -> Database:
        """A service's own database, to look into. Raises `ConfigurationError` where it has none."""
        self._check_loop(or_none=True)
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
    def recorder(self) -> Recorder | None:
        """What records the spans of the process; None where telemetry is off."""
        return self._process.host.recorder

    @property
    def observer(self) -> Observer:
        """What hands on spans, metrics and log lines of the process."""
        return self._process.observer

    @property
    def edge_url(self) -> str:
        """Where the edge listens; only with `edge=True`."""
        return self._process.edge_url

    @property
    def data_folder(self) -> Path:
        """Where the databases and the event logs are."""
        return self._process.host.data_folder


def projections_of(plans: Iterable[ServicePlan]) -> list[str]:
    """The names of the projections of services."""
    return [handler.name for plan in plans for handler in plan.handlers if handler.projection]


def refuse_given_up(told: list[str]) -> None:
    """Raise `NotQuiet` where it is quiet because events were given up."""
    if told:
        raise NotQuiet("\n".join(["it is quiet, and not all was handled:", *told]))
