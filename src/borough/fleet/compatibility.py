"""Whether a new version of a service may run beside everything that runs, in both directions.

Callers and consumers must live with what it provides, it must live with what the others provide, and the
old version must live with its migrations. Pure: descriptions in, sentences out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import Any

from borough.contracts.descriptor import Descriptor, from_json
from borough.contracts.difference import changes, changes_of_event
from borough.contracts.verdict import judge, verdict, verdict_on_event
from borough.fleet.control import ServiceSaid
from borough.ports import Migration

__all__ = ["doubts_about", "refusals"]

Running = Mapping[str, ServiceSaid]


def refusals(
    service: str, new: ServiceSaid, running: Running, elsewhere: Collection[str] = ()
) -> list[str]:
    """Why the new version must not be started, each with its remedy; empty means that it may.

    `running` is what runs, by service, the old version among it; `elsewhere` are services that need not
    tell what they provide: commands, those of no process of this system, and mocked ones.
    """
    if new.unfit:
        return [new.unfit]
    return [
        *_of_callers(service, new, running),
        *_of_hearers(new, running),
        *_of_its_needs(new, running, elsewhere),
        *_of_what_it_hears(new, running),
        *_judge_of(new).refuse_contraction(*_migrations(new)),
    ]


def doubts_about(service: str, new: ServiceSaid, running: Running) -> list[str]:
    """What is allowed and should be looked at: the public's clients, events that were published before, handlers
    that take the place of others, rows that are changed, and migrations that are not there."""
    found: list[str] = []
    old = running.get(service, ServiceSaid())
    for name in old.provides.keys() & new.provides.keys():
        contracts = _both(old.provides[name], new.provides[name])
        found += _of_the_public(*contracts)
        for published in contracts[0].events:
            found += _of_the_past(*contracts, published.wire_name)
    for event in old.hears.keys() & new.hears.keys():
        found += _of_the_past(*_both(old.hears[event], new.hears[event]), event)
    found += _of_the_handlers(old, new)
    if new.unfit:
        return sorted(set(found))
    if new.applied and not new.migrations:
        found.append(
            f"it has no migrations, and its database has {len(new.applied)}: was it built without its SQL files?"
        )
    return [*sorted(set(found)), *_judge_of(new).doubts(*_migrations(new))]


def _both(old: str, new: str) -> tuple[Descriptor, Descriptor]:
    return from_json(old.encode()), from_json(new.encode())


def _judge_of(new: ServiceSaid) -> Any:
    """Who judges the migrations of its database."""
    return import_module(f"borough.stores.{new.dialect}.expand")


def _of_callers(service: str, new: ServiceSaid, running: Running) -> Iterator[str]:
    had = running[service].provides if service in running else {}
    for caller, said in running.items():
        if caller == service:
            continue
        for name, text in said.needs.items():
            if name in new.provides:
                mine, theirs = from_json(text.encode()), from_json(new.provides[name].encode())
                yield from _calls(mine, theirs, f"{caller} calls {service}")
            elif name in had:
                yield (
                    f"{caller} calls {name}, which the new version does not provide. "
                    "Keep it until nobody calls it"
                )


def _calls(mine: Descriptor, theirs: Descriptor, who: str) -> Iterator[str]:
    for operation in mine.operations:
        wrong = verdict(mine, theirs, operation.wire_name)
        if wrong is not None:
            yield f"{who}: {wrong.sentence}"


def _of_hearers(new: ServiceSaid, running: Running) -> Iterator[str]:
    # The old version hears its own events from the new one, too.
    for hearer, said in running.items():
        for event, text in said.hears.items():
            mine = from_json(text.encode())
            if mine.wire_name in new.provides:
                theirs = from_json(new.provides[mine.wire_name].encode())
                wrong = verdict_on_event(mine, theirs, event)
                if wrong is not None:
                    yield f"{hearer} hears {event}: {wrong.sentence}"


def _of_its_needs(new: ServiceSaid, running: Running, elsewhere: Collection[str]) -> Iterator[str]:
    for name, text in new.needs.items():
        mine = from_json(text.encode())
        found = [said.provides[name] for said in running.values() if name in said.provides]
        if name in new.provides:
            continue
        if not found and mine.service not in elsewhere:
            yield f"the new version calls {name}, which nobody here provides. Ship {mine.service} first"
        for theirs in found:
            yield from _calls(mine, from_json(theirs.encode()), "the new version is a caller")


def _of_what_it_hears(new: ServiceSaid, running: Running) -> Iterator[str]:
    for event, text in new.hears.items():
        mine = from_json(text.encode())
        for said in running.values():
            if mine.wire_name in said.provides:
                theirs = from_json(said.provides[mine.wire_name].encode())
                wrong = verdict_on_event(mine, theirs, event)
                if wrong is not None:
                    yield f"the new version hears {event}: {wrong.sentence}"


def _of_the_public(old: Descriptor, new: Descriptor) -> Iterator[str]:
    public = tuple(each.wire_name for each in old.operations if each.allow is not None)
    for breach in judge(changes(old, new), "old", edge=True):
        if breach.change.subject in public:
            yield f"clients of the public door: {breach.sentence}. {breach.remedy}"


def _of_the_past(old: Descriptor, new: Descriptor, event: str) -> Iterator[str]:
    """What whoever has the new contract cannot read of the events that topics keep."""
    for breach in judge(changes_of_event(old, new, event), "new"):
        if breach.change.flow == "event":
            yield (
                f"events that were published before: {breach.sentence}. {breach.remedy}, or make it a new version "
                "of the event, with an upcast"
            )


def _of_the_handlers(old: ServiceSaid, new: ServiceSaid) -> Iterator[str]:
    """Handlers that hear instead of others: a name owns its place, and one with another begins anew."""
    for event in old.hears:
        before, after = _hearing(old, event), _hearing(new, event)
        gone, come = sorted(before - after), sorted(after - before)
        if gone and come:
            names = " and ".join(come), " and ".join(gone)
            yield (
                f"{names[0]} hears {event} in place of {names[1]}: while both versions run, both handle what "
                f"comes, and what {names[1]} has not handled at its end is left. If it was renamed, write "
                f'name="{gone[0].partition(".")[2]}" in its mark'
            )


def _hearing(said: ServiceSaid, event: str) -> set[str]:
    return {name for name, events in said.handlers.items() if event in events}


def _migrations(new: ServiceSaid) -> tuple[list[Migration], list[Migration]]:
    """Those that the database has, and those that come."""
    every = [Migration(name, sql) for name, sql in new.migrations]
    return (
        [each for each in every if each.name in new.applied],
        [each for each in every if each.name not in new.applied],
    )
