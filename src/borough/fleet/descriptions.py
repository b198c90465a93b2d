"""What a process says of its services before it may take the place of others: all that these rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from borough.contracts.descriptor import describe, to_json
from borough.contracts.operation import Contract
from borough.errors import MigrationRefused
from borough.fleet.control import ServiceSaid
from borough.ports import Migration
from borough.runtime.adapters import applied_to, store_kind
from borough.runtime.host import Host
from borough.runtime.wiring import Plan, ServicePlan
from borough.stores.migrations import Applied, migrations_of, pending

__all__ = ["descriptions_of"]


def descriptions_of(host: Host, versions: dict[str, str]) -> dict[str, ServiceSaid]:
    """What each service here provides, calls, hears, and does to its database; blocking.

    The host need not have started. Raises `MigrationRefused`, `StoreUnavailable`.
    """
    return {
        name: _said(host, service, versions.get(name, ""))
        for name, service in host.plan.services.items()
    }


def _said(host: Host, service: ServicePlan, version: str) -> ServiceSaid:
    dialect = store_kind(host.configuration.options, service.name)
    migrations = migrations_of(service.folder, dialect) if service.needs_database else ()
    applied: Mapping[str, Applied] = {}
    if service.needs_database:
        applied = applied_to(host.configuration, host.data_folder, service.name)
    return ServiceSaid(
        version=version,
        provides=dict(_text(contract) for contract, _ in service.provides),
        needs=dict(_text(contract) for contract in service.clients.values()),
        hears=_heard(host.plan, service),
        handlers={
            handler.name: tuple(event.wire_name for event in handler.events)
            for handler in service.handlers
            if handler.projection is None
        },
        declares=tuple(sorted(host.declared[service.name])),
        migrations=tuple((each.name, each.sql) for each in migrations),
        applied=tuple(sorted(applied)),
        unfit=_misfit(migrations, applied) if service.needs_database else "",
        dialect=dialect,
    )


def _misfit(migrations: Sequence[Migration], applied: Mapping[str, Applied]) -> str:
    """Why a database with these cannot take the migrations, as a start would say it."""
    try:
        pending("service", migrations, applied)
    except MigrationRefused as error:
        return str(error)
    return ""


def _heard(plan: Plan, service: ServicePlan) -> dict[str, str]:
    """The contract of each event that it hears, by the event's wire name."""
    return {
        event.wire_name: _text(plan.contracts[event.topic])[1]
        for handler in service.handlers
        for event in handler.events
        if event.topic in plan.contracts
    }


def _text(contract: Contract) -> tuple[str, str]:
    return contract.wire_name, to_json(describe(contract)).decode()
