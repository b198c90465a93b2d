"""What a running system is made of, as the system page shows it: facts that do not change.

They come from the wiring and borough.toml, never from settings, data or the environment, so nothing
secret can be among them. The JSON is documented in docs/reference/console.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from borough.contracts.catalog import own_doc
from borough.contracts.operation import Contract, Operation
from borough.runtime.callers import calls_without_code
from borough.runtime.options import Options, TeamFacts
from borough.runtime.push_plan import PushPlan, plan_pushes
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.wiring import Plan, ServicePlan

__all__ = ["SystemView", "merged_views", "system_view", "with_own"]

Runs = Literal["here", "mock", "elsewhere"]
_RANKS: dict[Runs, int] = {"here": 0, "mock": 1, "elsewhere": 2}


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """An operation. `allow` is who may call it at the edge, null for other services only."""

    name: str
    wire_name: str
    method: str
    path: str
    doc: str
    allow: Literal["anyone", "user"] | None
    scopes: tuple[str, ...]
    stream: bool
    deprecated: str | None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a contract."""

    name: str
    wire_name: str
    doc: str
    key: str | None


class ContractView(msgspec.Struct, frozen=True, kw_only=True):
    """A contract that a service provides."""

    name: str
    wire_name: str
    version: str
    doc: str
    deprecated: str | None
    operations: tuple[OperationView, ...]
    events: tuple[EventView, ...]


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service: `here` in this process, answered by a `mock`, or `elsewhere`."""

    name: str
    runs: Runs
    team: str | None
    domain: str | None
    capability: str | None
    has_database: bool
    contracts: tuple[ContractView, ...]


class TeamView(msgspec.Struct, frozen=True, kw_only=True):
    """A team; what borough.toml does not say is null."""

    name: str
    size: int | None
    on_call: bool | str | None
    time_zone: str | None
    release_days: tuple[str, ...]


class CallView(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A declared dependency: `caller` may call `contracts` (wire names) of `provider`."""

    caller: str
    provider: str
    contracts: tuple[str, ...]


class HearingView(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A declared hearing: `subscriber` hears `events` (wire names) of `publisher`."""

    publisher: str
    subscriber: str
    events: tuple[str, ...]


class SystemView(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, each list by name."""

    name: str
    version: str
    services: tuple[ServiceView, ...]
    teams: tuple[TeamView, ...]
    calls: tuple[CallView, ...]
    hearings: tuple[HearingView, ...]


def system_view(plan: Plan, options: Options, answered: Collection[str]) -> SystemView:
    """The facts of a wired system. `answered` holds the wire names of operations answered here."""
    services = {service.name: _service(service, options) for service in plan.services.values()}
    for contract in sorted(plan.absent.values(), key=lambda found: found.wire_name):
        mocked = any(operation.wire_name in answered for operation in contract.operations.values())
        known = services.get(contract.service)
        if known is None:
            known = _view(contract.service, "mock" if mocked else "elsewhere", options)
        contracts = (*known.contracts, _contract(contract))
        services[contract.service] = msgspec.structs.replace(known, contracts=contracts)
    pushes = plan_pushes(options, plan.contracts.values())
    for push in pushes:
        if push.target not in services:
            services[push.target] = _view(push.target, "elsewhere", options)
    return SystemView(
        name=options.system.name,
        version=options.system.version,
        services=tuple(service for _, service in sorted(services.items())),
        teams=_teams(services, options),
        calls=_calls(plan, options),
        hearings=_hearings(plan, pushes),
    )


def merged_views(found: Sequence[SystemView]) -> SystemView:
    """One view out of several processes', at least one: each knows best what it runs itself."""
    services: dict[str, ServiceView] = {}
    calls: set[CallView] = set()
    hearings: set[HearingView] = set()
    for view in found:
        calls.update(view.calls)
        hearings.update(view.hearings)
        for service in view.services:
            known = services.get(service.name)
            if known is None or _RANKS[service.runs] < _RANKS[known.runs]:
                services[service.name] = service
    first = found[0]
    return msgspec.structs.replace(
        first,
        services=tuple(service for _, service in sorted(services.items())),
        calls=tuple(sorted(calls)),
        hearings=tuple(sorted(hearings)),
    )


def with_own(view: SystemView, names: Iterable[str], options: Options) -> SystemView:
    """The same with services of these names that run here, though none of their processes may have told of itself:
    it has not started yet, or is a command, which never tells."""
    services = {each.name: each for each in view.services}
    for name in names:
        known = services.get(name) or _view(name, "here", options)
        services[name] = msgspec.structs.replace(known, runs="here")
    return msgspec.structs.replace(
        view,
        services=tuple(service for _, service in sorted(services.items())),
        teams=_teams(services, options),
    )


def _view(name: str, runs: Runs, options: Options) -> ServiceView:
    facts = options.services.get(name, ServiceFacts())
    return ServiceView(
        name=name,
        runs=runs,
        team=facts.team,
        domain=facts.domain,
        capability=facts.capability,
        has_database=False,
        contracts=(),
    )


def _service(plan: ServicePlan, options: Options) -> ServiceView:
    contracts = sorted((found for found, _ in plan.provides), key=lambda found: found.wire_name)
    return msgspec.structs.replace(
        _view(plan.name, "here", options),
        has_database=plan.needs_database,
        contracts=tuple(map(_contract, contracts)),
    )


def _contract(contract: Contract) -> ContractView:
    events = [
        EventView(name=event.kind.__name__, wire_name=name, doc=own_doc(event.kind), key=event.key)
        for name, event in sorted(contract.events.items())
    ]
    return ContractView(
        name=contract.name,
        wire_name=contract.wire_name,
        version=contract.mark.version,
        doc=contract.doc,
        deprecated=contract.mark.deprecated,
        operations=tuple(map(_operation, contract.operations.values())),
        events=tuple(events),
    )


def _operation(operation: Operation) -> OperationView:
    allow = operation.allow
    return OperationView(
        name=operation.name,
        wire_name=operation.wire_name,
        method=operation.mark.method,
        path=operation.path,
        doc=operation.doc,
        allow=None if allow is None else allow.who,
        scopes=() if allow is None else allow.scopes,
        stream=operation.stream,
        deprecated=operation.mark.deprecated,
    )


def _teams(services: dict[str, ServiceView], options: Options) -> tuple[TeamView, ...]:
    """Every team that is described or owns something; one may be named before it is described."""
    owning = {service.team for service in services.values() if service.team is not None}
    return tuple(
        _team(name, options.teams.get(name)) for name in sorted(owning | set(options.teams))
    )


def _team(name: str, facts: TeamFacts | None) -> TeamView:
    if facts is None:
        return TeamView(name=name, size=None, on_call=None, time_zone=None, release_days=())
    return TeamView(
        name=name,
        size=facts.size or None,
        on_call=facts.on_call,
        time_zone=facts.time_zone,
        release_days=facts.release_days,
    )


def _calls(plan: Plan, options: Options) -> tuple[CallView, ...]:
    found: dict[tuple[str, str], set[str]] = {}
    for service in plan.services.values():
        for contract in service.clients.values():
            found.setdefault((service.name, contract.service), set()).add(contract.wire_name)
    for pair, names in calls_without_code(options, plan.services).items():
        found.setdefault(pair, set()).update(names)
    return tuple(
        CallView(caller=caller, provider=provider, contracts=tuple(sorted(names)))
        for (caller, provider), names in sorted(found.items())
    )


def _hearings(plan: Plan, pushes: Sequence[PushPlan]) -> tuple[HearingView, ...]:
    found: dict[tuple[str, str], set[str]] = {}
    for push in pushes:
        names = found.setdefault((push.service, push.target), set())
        names.update(event.wire_name for event in push.events)
    for service in plan.services.values():
        for handler in service.handlers:
            for event in handler.events:
                publisher = plan.contracts[event.topic].service
                found.setdefault((publisher, service.name), set()).add(event.wire_name)
    return tuple(
        HearingView(publisher=publisher, subscriber=subscriber, events=tuple(sorted(names)))
        for (publisher, subscriber), names in sorted(found.items())
    )
