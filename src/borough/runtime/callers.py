"""Which services may call which contracts: the declaration is the permission."""

from __future__ import annotations

from collections.abc import Collection

from borough.runtime.history import history_name
from borough.runtime.options import Options
from borough.runtime.wiring import Plan

__all__ = ["called_services", "calls_without_code", "declared_callers"]


def declared_callers(plan: Plan) -> dict[str, frozenset[str]]:
    """The contracts, by wire name, that each service has declared to call.

    Who hears a topic may ask its publisher for what that retains.
    """
    found: dict[str, frozenset[str]] = {}
    for name, service in plan.services.items():
        topics = {event.topic for handler in service.handlers for event in handler.events}
        histories = (history_name(plan.contracts[topic].service) for topic in topics)
        clients = (contract.wire_name for contract in service.clients.values())
        found[name] = frozenset([*clients, *histories])
    return found


def called_services(contracts: Collection[str]) -> set[str]:
    """The services of declared contracts, but for those of which the history alone is asked for."""
    named = {name: name.partition(".")[0] for name in contracts}
    return {service for name, service in named.items() if name != history_name(service)}


def calls_without_code(
    options: Options, code: Collection[str]
) -> dict[tuple[str, str], frozenset[str]]:
    """The contracts, by wire name, by caller and callee, that borough.toml declares for services without `code`."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for caller, facts in options.services.items():
        for need in facts.needs if caller not in code else ():
            pair = (caller, need.partition(".")[0])
            found[pair] = found.get(pair, frozenset()) | {need}
    return found
