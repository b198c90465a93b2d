"""Keeps the processes of a topology running: starts them in order, begins anew what ends, drains.

It runs no service. Who is called starts first; the public door opens last and closes first. Before a
replica drains, all others have been told that it takes no more calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from borough.clock import Clock
from borough.errors import BoroughError, ConfigurationError
from borough.fleet.commands import Say
from borough.fleet.control import DirectoryChanged, Peer
from borough.fleet.launch import Launch, Launcher
from borough.fleet.member import Member
from borough.fleet.surroundings import Surroundings
from borough.reliability.backoff import Backoff
from borough.reliability.restarts import Restarts
from borough.runtime.callers import called_services, declared_callers
from borough.runtime.code import Code, Kept
from borough.runtime.foreign import ForeignService
from borough.runtime.pulse import Pulse
from borough.runtime.system import System
from borough.runtime.table import MOST_REPLICAS
from borough.runtime.topology import Deployable, Topology, start_waves
from borough.runtime.wiring import Plan
from borough.transports.http.wire import EDGE

__all__ = ["StartFailed", "Supervisor", "Watcher"]

_SEEN_WITHIN_S = 2.0
_LINGER_S = 0.5
"""Who is told to nobody any more stays as it is that long: a call may have chosen it a moment before."""
_STAGES = 3
_CLOSING_S = 10.0


class StartFailed(BoroughError):
    """A process of the fleet could not be started; `status` is the exit status that it gave."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Watcher(Protocol):
    """Whoever shows what happens."""

    def line(self, member: Member, text: str) -> None:
        """A process has printed this."""
        ...

    def changed(self, member: Member, sentence: str) -> None:
        """A member has come to another state; an empty sentence is not worth saying."""
        ...

    def told(self, directory: DirectoryChanged) -> None:
        """Others take calls now than before."""
        ...


class Supervisor:
    """The fleet of one topology. `plan` is that of the whole system, `apart` who else answers: by service.

    What a deployable runs is told by its modules; the supervisor's own code of services is never run.
    """

    def __init__(
        self,
        system: System,
        plan: Plan,
        topology: Topology,
        launch: Launch,
        *,
        clock: Clock,
        watcher: Watcher,
        apart: Mapping[str, Peer] | None = None,
        left: Mapping[str, Kept] | None = None,
        foreign: Mapping[str, ForeignService] | None = None,
    ) -> None:
        """`left` is what earlier rollouts have left, by deployable; `foreign` has the services that are commands."""
        options = system.configuration.options
        self.topology = topology
        self.changes = Pulse()
        """Beats whenever anything about the fleet has changed."""
        rolled_out = dict(left or {})
        self.codes = {name: each.code for name, each in rolled_out.items()}
        """What each deployable runs where that is not the system's own code."""
        self.declared = {
            name: frozenset(names)
            for each in rolled_out.values()
            for name, names in each.declared.items()
        }
        """The contracts that services which were rolled out call; of others their code in the system tells it."""
        self.members: dict[str, Member] = {}
        self._system = system
        self._plan = plan
        self._launch = launch
        self._clock = clock
        self._watcher = watcher
        self._apart = dict(apart or {})
        self._foreign = dict(foreign or {})
        answered = {name for each in topology.deployables for name in each.services}
        self._surroundings = Surroundings(
            system.configuration, launch.environment, launch.flags.get("telemetry.keeper")
        )
        self._launcher = Launcher(
            launch,
            system,
            plan,
            self._foreign,
            self._surroundings,
            clock,
            stood_in=tuple(sorted(answered.union(self._apart).intersection(options.external))),
        )
        self.modules = self._launcher.modules
        """The module of each service that is not mocked."""
        self.own_code = self._launcher.own_code
        self._fleet = options.fleet
        self._terms = Restarts(
            options.fleet.restarts,
            options.fleet.restarts_within_s,
            Backoff(options.fleet.restart_first_s, options.fleet.restart_last_s),
        )
        self._patience_s = _STAGES * options.limits.drain_s + _CLOSING_S
        self._directory = self._look_up(0)
        self._leaving: set[asyncio.Task[None]] = set()
        self._scaling = asyncio.Lock()
        self._at_work = ""
        self._rolling: asyncio.Task[Any] | None = None
        self._is_stopping = False

    # --- the whole ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything; returns once all are ready. Who would change something meanwhile waits.

        Raises `StartFailed` where one stays down, once all others have been stopped again.
        """
        async with self._turn("the fleet's start", lambda _: None):
            await self._start()

    async def _start(self) -> None:
        for deployable in self.topology.deployables:
            self._refuse_one_port(deployable, deployable.replicas)
        await self._launcher.look()
        if self._foreign:
            await asyncio.to_thread(self._prepare_for_commands)
        waves = self._waves()
        if self._launch.has_door:
            waves.append([self._door])
        # All load their code at once; they start one wave after the other.
        added = [
            [self._add(each, n + 1, is_held=True) for each in wave for n in range(each.replicas)]
            for wave in waves
        ]
        try:
            for members in added:
                for member in members:
                    member.let_start()
                await self.until_ready(members, among=list(self.members.values()))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """The door first, then those whom nobody calls any more. Idempotent."""
        self._is_stopping = True
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.wait([self._rolling])
        names = [(EDGE,), *(tuple(each.name for each in wave) for wave in reversed(self._waves()))]
        for wave in names:
            await self.see_off([m for m in self.members.values() if m.deployable in wave])
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def kill(self) -> None:
        """End every process at once."""
        for member in self.members.values():
            member.kill()

    @property
    def edge_url(self) -> str:
        """Where the public door listens. Raises `ConfigurationError` where there is none now."""
        for member in self.members.values():
            if member.ready is not None and member.ready.edge is not None:
                return member.ready.edge
        raise ConfigurationError("this fleet has no public door now")

    @property
    def failed(self) -> list[Member]:
        """Those that stay down."""
        return [member for member in self.members.values() if member.state == "failed"]

    @property
    def is_changing(self) -> bool:
        """Whether somebody scales it or rolls a version out."""
        return self._scaling.locked()

    @asynccontextmanager
    async def _turn(self, what: str, say: Say) -> AsyncGenerator[None]:
        """One change at a time; `say` hears whose end is waited for. Raises `ConfigurationError` while it stops."""
        if self._at_work:
            say(f"the end of {self._at_work} is waited for")
        async with self._scaling:
            if self._is_stopping:
                raise ConfigurationError("the fleet is stopping")
            self._at_work = what
            try:
                yield
            finally:
                self._at_work = ""

    @property
    def _door(self) -> Deployable:
        reached = [name for each in self.topology.deployables for name in each.services]
        return Deployable(EDGE, (*reached, *self._apart))

    def _prepare_for_commands(self) -> None:
        """They find a token for each service from the start on, and nothing of who was there before.

        Raises `ConfigurationError`, also for a CA by which they could not be asked.
        """
        from borough.gateway.internal import ServiceTokens  # few fleets have commands
        from borough.gateway.mutual_tls import proof_of

        self._surroundings.ssl()
        self._surroundings.forget_directories()
        configuration = self._system.configuration
        tokens = ServiceTokens(configuration.data_folder / "tokens", self._clock)
        proof_of(configuration, tokens, self._clock).open((), {EDGE, *self._directory.declared})

    def _waves(self) -> list[list[Deployable]]:
        needs = {name: called_services(names) for name, names in self._declared().items()}
        needs |= {name: set(service.called) for name, service in self._foreign.items()}
        named = {each.name: each for each in self.topology.deployables}
        return [[named[name] for name in wave] for wave in start_waves(self.topology, needs)]

    # --- replicas ----------------------------------------------------------------------------------

    async def scale(self, name: str, replicas: int, say: Say) -> list[Member]:
        """Have so many replicas of a deployable; returns them once all others know. `say` is told what is waited for.

        Those that failed are replaced, and stay where no other can be had. Fewer: those that take no calls now leave
        before others, and the newest before older ones, once nobody calls them any more.
        Raises `ConfigurationError` for a deployable that there is not, `StartFailed`.
        """
        deployable = self.scalable(name, replicas)
        async with self._turn("another scale", say):
            lost = [member for member in self.failed if member.deployable == name]
            for member in lost:
                del self.members[member.name]
            here = sorted(self.replicas_of(name), key=lambda each: not each.takes_calls)
            await self.see_off(here[replicas:])
            added = [self.begin(deployable) for _ in range(replicas - len(here))]
            try:
                await self.until_ready(added)
                await self.until_told()
            except BaseException:
                await self.see_off(added)
                self.members.update((member.name, member) for member in lost)
                raise
        return self.replicas_of(name)

    @asynccontextmanager
    async def rolling(self, service: str, say: Say) -> AsyncGenerator[Deployable]:
        """The deployable of a service while another version of that is rolled out; one at a time.

        Raises `ConfigurationError` for a service that is not run here, and while another rollout runs.
        """
        found = next((each for each in self.topology.deployables if service in each.services), None)
        if service in self._foreign:
            raise ConfigurationError(
                f"{service} is a command, whose code is not Borough's to exchange: build its other version, "
                "and end its process; another one is begun"
            )
        if found is None or service not in self.modules:
            names = ", ".join(sorted(self.modules))
            raise ConfigurationError(
                f"no service {service!r} runs in this fleet; there are {names}"
            )
        if self._rolling is not None:
            raise ConfigurationError("another rollout runs in this fleet; wait for its end")
        self._rolling = asyncio.current_task()
        try:
            async with self._turn("a rollout", say):
                yield found
        finally:
            self._rolling = None

    async def declare(self, service: str, contracts: Collection[str]) -> None:
        """Let a service call these contracts besides those that its replicas do; returns once all know it."""
        self.declared[service] = frozenset(contracts)
        self._tell()
        await self.until_told()

    def declared_by(self, service: str) -> frozenset[str]:
        """The contracts that a service may call whether or not one of its replicas is ready."""
        return self._declared().get(service, frozenset())

    def replicas_of(self, deployable: str) -> list[Member]:
        """Its replicas, whatever their state."""
        return [each for each in self.members.values() if each.deployable == deployable]

    def begin(
        self, deployable: Deployable, code: Code | None = None, *, is_held: bool = False
    ) -> Member:
        """One more replica under a free number; None is the code that its deployable has."""
        taken = {each.assignment.number for each in self.replicas_of(deployable.name)}
        number = next(n for n in range(1, len(taken) + 2) if n not in taken)
        return self._add(deployable, number, code, is_held=is_held)

    def scalable(self, name: str, replicas: int) -> Deployable:
        """The deployable of that name. Raises `ConfigurationError` where it cannot have so many."""
        if name == EDGE and self._launch.has_door:
            if replicas != 1:
                raise ConfigurationError(
                    f"{name}={replicas}: the public door is one process; {name}=1 begins it anew where it stays down"
                )
            return self._door
        deployable = next((each for each in self.topology.deployables if each.name == name), None)
        if deployable is None:
            raise ConfigurationError(self._no_deployable(name))
        if replicas < 1:
            raise ConfigurationError(f"{name}={replicas}: a deployable has at least 1 replica")
        if replicas > MOST_REPLICAS:
            raise ConfigurationError(
                f"{name}={replicas}: a deployable has at most {MOST_REPLICAS} replicas on one machine"
            )
        self._refuse_one_port(deployable, replicas)
        return deployable

    def _refuse_one_port(self, deployable: Deployable, replicas: int) -> None:
        service = self._foreign.get(deployable.services[0])  # it is alone there
        if service is not None and service.port is not None and replicas > 1:
            raise ConfigurationError(
                f"services.{service.name}.port is one port, at which {replicas} replicas cannot listen; "
                "remove the option, and each takes a free one"
            )

    def _no_deployable(self, name: str) -> str:
        names = ", ".join(each.name for each in self.topology.deployables)
        for each in self.topology.deployables:
            if name in each.services:
                return f"{name} runs in the deployable {each.name}; scale that"
        return f"there is no deployable {name!r} in the topology {self.topology.name}; there are {names}"

    def _add(
        self,
        deployable: Deployable,
        number: int,
        code: Code | None = None,
        *,
        is_held: bool = False,
    ) -> Member:
        version = self.codes.get(deployable.name, Code()) if code is None else code
        assignment = self._launcher.assignment(deployable, number, version)
        member = Member(
            assignment,
            self,
            self._clock,
            self._terms,
            start_within_s=self._fleet.start_within_s,
            silent_s=self._fleet.silent_s,
            begin=self._launcher.beginning(assignment),
            is_held=is_held,
        )
        self.members[member.name] = member
        return member

    async def until_ready(
        self, members: Sequence[Member], among: Sequence[Member] | None = None
    ) -> None:
        """Wait until all are ready. Raises `StartFailed` as soon as one of `among`, or of these, stays down."""
        while True:
            seen = self.changes.count
            for member in members if among is None else among:
                if member.state == "failed":
                    assert member.failure is not None
                    said = member.failure
                    raise StartFailed(f"{member.name}: {said.sentence}", said.status)
            if all(member.state == "ready" for member in members):
                return
            await self.changes.wait(seen)

    async def see_off(self, members: Collection[Member]) -> None:
        """Out of the directory first, then drained; whoever takes too long is ended."""
        if not members:
            return
        for member in members:
            member.withdraw()
        await self.until_told(but=members)
        if not self._is_stopping:
            await self._clock.sleep(_LINGER_S)
        for member in members:
            member.drain()
        ends = [asyncio.ensure_future(member.ended()) for member in members]
        _, late = await asyncio.wait(ends, timeout=self._patience_s)
        for member in members:
            if member.state not in ("stopped", "failed"):
                self._watcher.changed(
                    member, f"has not stopped after {self._patience_s:g} s and is ended"
                )
                member.kill()
        if late:
            await asyncio.wait(late)
        for member in members:
            self.members.pop(member.name, None)

    async def until_told(self, but: Iterable[Member] = ()) -> None:
        """Wait until every other process knows the directory as it is now, at most a little while."""
        number, leaving = self._directory.number, set(but)
        with suppress(TimeoutError):
            async with asyncio.timeout(_SEEN_WITHIN_S):
                while True:
                    seen = self.changes.count
                    if all(
                        member.seen >= number or member.state != "ready"
                        for member in self.members.values()
                        if member not in leaving
                    ):
                        return
                    await self.changes.wait(seen)

    # --- what members tell -------------------------------------------------------------------------

    def said(self, member: Member, line: str) -> None:
        """See `Owner`."""
        self._watcher.line(member, line)

    def changed(self, member: Member, sentence: str) -> None:
        """See `Owner`. Everybody is told who takes calls now."""
        self._watcher.changed(member, sentence)
        self._tell()
        self.changes.beat()

    def _tell(self) -> None:
        now = self._look_up(self._directory.number + 1)
        if (now.replicas, now.declared) != (self._directory.replicas, self._directory.declared):
            self._directory = now
            for each in self.members.values():
                each.tell(now)
            self._watcher.told(now)

    def is_served(self, deployable: str) -> bool:
        """See `Owner`."""
        return any(member.takes_calls for member in self.replicas_of(deployable))

    def moved(self) -> None:
        """See `Owner`."""
        self.changes.beat()

    def wants_to_leave(self, member: Member) -> None:
        """See `Owner`. It drains once nobody calls it any more; then another takes its place."""

        async def let_go() -> None:
            await self.until_told(but=[member])
            member.drain()

        task = asyncio.ensure_future(let_go())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def current_directory(self) -> DirectoryChanged:
        """See `Owner`."""
        return self._directory

    def _declared(self) -> dict[str, frozenset[str]]:
        return declared_callers(self._plan) | self.declared

    def _look_up(self, number: int) -> DirectoryChanged:
        replicas: dict[str, list[Peer]] = {name: [peer] for name, peer in self._apart.items()}
        declared = {name: set(names) for name, names in self._declared().items()}
        declared |= {name: set(service.needs) for name, service in self._foreign.items()}
        for member in self.members.values():
            for service, peer in member.peers().items():
                replicas.setdefault(service, []).append(peer)
            for service, names in member.ready.declares.items() if member.ready else ():
                declared.setdefault(service, set()).update(names)
        return DirectoryChanged(
            number,
            {service: tuple(peers) for service, peers in sorted(replicas.items())},
            {service: tuple(sorted(names)) for service, names in sorted(declared.items())},
        )
