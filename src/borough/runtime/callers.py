"""Which services may call which contracts: the declaration is the permission."""

from __future__ import annotations

from borough.runtime.history import history_name
from borough.runtime.wiring import Plan

__all__ = ["declared_callers"]


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
