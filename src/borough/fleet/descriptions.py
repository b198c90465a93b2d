"""What a process says of its services before it may take the place of others: all that these rely on."""

from __future__ import annotations

from borough.contracts.descriptor import describe, to_json
from borough.contracts.operation import Contract
from borough.fleet.control import ServiceSaid
from borough.runtime.host import Host
from borough.runtime.wiring import Plan, ServicePlan
from borough.stores.migrations import read_migrations
from borough.stores.sqlite.migrate import read_applied

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
    folder = service.folder / "migrations" / "sqlite"
    migrations = read_migrations(folder) if folder.is_dir() else ()
    applied = read_applied(host.data_folder / f"{service.name}.db", "service")
    return ServiceSaid(
        version=version,
        provides=dict(_text(contract) for contract, _ in service.provides),
        needs=dict(_text(contract) for contract in service.clients.values()),
        hears=_heard(host.plan, service),
        migrations=tuple((each.name, each.sql) for each in migrations),
        applied=tuple(sorted(applied)),
    )


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
