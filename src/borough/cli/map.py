"""`borough map`: which service calls or hears which, as declared, as observed, and where they differ."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from borough.alerting.words import counted
from borough.cli.trace import add_place, opened_file
from borough.errors import ConfigurationError
from borough.telemetry.plain import printable

if TYPE_CHECKING:
    from borough.observing.searching import ObservedEdge

__all__ = ["add"]

_EXAMPLE = """examples:
  borough map --system examples/shop
  borough map --system examples/shop --json"""


class _Edge(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between two services; `declared` by the code, `observed` by what is kept.
    `elsewhere`: it leads to a service of `[external]`."""

    kind: str
    caller: str
    callee: str
    elsewhere: bool
    declared: bool
    observed: bool
    operations: tuple[Any, ...] = ()


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "map",
        help="show which services call or hear which, declared and observed",
        description="Calls and events between services: what their code declares, what has been seen.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    declared, elsewhere = _declared(options)
    observed: Sequence[ObservedEdge] = ()
    unseen = "declared, never seen"
    try:
        observed = _observed(options)
    except ConfigurationError as error:  # what is declared can be shown all the same
        unseen = "declared"
        print(f"what is declared; what has been seen is not known: {error}", file=sys.stderr)
    edges = _joined(declared, observed, elsewhere)
    if options.json:
        print(msgspec.json.encode({"edges": edges}).decode())
        return 0
    if not edges:
        print("no service calls or hears another one")
    for edge in edges:
        print(_line(edge) if edge.observed else f"{_what(edge):<40} {unseen}{_place(edge)}")
    return 0


def _observed(options: argparse.Namespace) -> Sequence[ObservedEdge]:
    from borough.observing.searching import observed_edges

    with opened_file(options) as file:
        return observed_edges(file)


def _declared(options: argparse.Namespace) -> tuple[set[tuple[str, str, str]], Collection[str]]:
    """Who may call and who hears whom, and the services that are elsewhere."""
    from borough.runtime.callers import calls_without_code
    from borough.runtime.host import OWN_RESOURCES
    from borough.runtime.system import System
    from borough.runtime.wiring import make_plan
    from borough.services.identity import TokenIssuer

    system = System.load(options.system)
    plan = make_plan(system, resources=[TokenIssuer, *OWN_RESOURCES])
    written = calls_without_code(system.configuration.options, plan.services)
    found = {("call", caller, callee) for caller, callee in written}
    for name, service in plan.services.items():
        found |= {("call", name, contract.service) for contract in service.clients.values()}
        for handler in service.handlers:
            found |= {("event", event.topic.partition(".")[0], name) for event in handler.events}
    return found, system.configuration.options.external.keys()


def _joined(
    declared: set[tuple[str, str, str]],
    observed: Sequence[ObservedEdge],
    elsewhere: Collection[str],
) -> list[_Edge]:
    seen: dict[tuple[str, str, str], list[ObservedEdge]] = {}
    for edge in observed:
        if edge.caller and edge.caller != edge.callee:
            seen.setdefault((edge.kind, edge.caller, edge.callee), []).append(edge)
    return [
        _Edge(
            kind=kind,
            caller=caller,
            callee=callee,
            elsewhere=callee in elsewhere,
            declared=(kind, caller, callee) in declared,
            observed=(kind, caller, callee) in seen,
            operations=tuple(seen.get((kind, caller, callee), ())),
        )
        for kind, caller, callee in sorted({*declared, *seen})
    ]


_SIGNS: Mapping[str, str] = {"call": "->", "event": "~>"}


def _what(edge: _Edge) -> str:
    return printable(f"{edge.caller} {_SIGNS[edge.kind]} {edge.callee}")


def _line(edge: _Edge) -> str:
    count = sum(each.count for each in edge.operations)
    failed = sum(each.faults for each in edge.operations)  # a declared problem is an answer
    slowest = max(each.p95_ms for each in edge.operations)
    thing = "call" if edge.kind == "call" else "event"
    note = "" if edge.declared else ", NOT DECLARED"
    figures = f"{counted(count, thing)}, {failed} failed, p95 {slowest:.1f} ms"
    return f"{_what(edge):<40} {figures}{_place(edge)}{note}"


def _place(edge: _Edge) -> str:
    return ", elsewhere" if edge.elsewhere else ""
