"""`borough events`: topics, dead letters, projections, and what an operator does about them.

Each service's database is opened beside the running process, or without one: a replayed event waits
there, and the consumer finds it within seconds, or at the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.alerting.words import counted
from borough.cli.engines import (
    add_engine_options,
    chosen_engines,
    engine_flags,
    running_engines,
    with_engines_in_use,
)
from borough.cli.output import complain
from borough.errors import ConfigurationError
from borough.telemetry.plain import plain, printable

if TYPE_CHECKING:
    from borough.runtime.dead_letters import DeadEvent, DeadGroup, DeadLetters, Selection
    from borough.runtime.system import System
    from borough.runtime.topics import TopicState

__all__ = ["add"]

_EXAMPLE = """examples:
  borough events topics --system examples/shop
  borough events dead --system examples/shop
  borough events dead notifications.send_receipt --events
  borough events replay notifications.send_receipt --group 3f2a9c41d07b
  borough events drop --id 01a214e5d0eb70219c866760cc2f7f05-1
  borough events rebuild search.prices"""
_WORDS = """
parked: failed and tried again later, with those that wait behind them under the same key
dead: given up after the last attempt; `borough events dead` shows them"""
_SHOWN = 1000
_MOST_SHOWN = 50_000  # the bodies are in memory


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "events",
        help="show topics; show, replay or drop dead letters; rebuild projections",
        description="What topics retain and how far handlers are; events that a handler has given up.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    topics = actions.add_parser(
        "topics",
        help="list topics with their handlers",
        description="Topics with what they retain, and their handlers: how many events each has not come to yet "
        f"(behind), and what has failed.\n{_WORDS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: borough events topics --system examples/shop --json",
    )
    _add_place(topics)
    dead = actions.add_parser(
        "dead",
        help="list dead letters by group; exit status 1 when there are any",
        epilog="example: borough events dead orders --system examples/shop",
    )
    dead.add_argument("--events", action="store_true", help="one by one, with their bodies")
    dead.add_argument(
        "--limit", type=_count, default=_SHOWN, metavar="N", help=f"of --events (default: {_SHOWN})"
    )
    replay = actions.add_parser(
        "replay",
        help="have dead letters handled again",
        epilog="example: borough events replay orders.mark_paid --group 3f2a9c41d07b",
    )
    drop = actions.add_parser(
        "drop",
        help="give dead letters up for good",
        epilog="example: borough events drop --group 3f2a9c41d07b",
    )
    for action in (dead, replay, drop):
        action.add_argument("name", nargs="?", help="a service or a handler (default: all)")
        action.add_argument("--group", metavar="FINGERPRINT", help="those that failed alike")
        action.add_argument("--id", metavar="EVENT", help="one event")
        if action is not dead:
            action.add_argument("--all", action="store_true", help="whatever is dead")
        _add_place(action)
    rebuild = actions.add_parser(
        "rebuild",
        help="empty a projection's tables and make them anew from what its topic retains",
        epilog="example: borough events rebuild search.prices --system examples/shop",
    )
    rebuild.add_argument("name", help="the projection, SERVICE.NAME")
    _add_place(rebuild)
    parser.set_defaults(run=_run)


def _add_place(action: argparse.ArgumentParser) -> None:
    action.add_argument("--json", action="store_true", help="print one JSON document")
    action.add_argument(
        "--system", default=".", metavar="PATH", help="the system's folder (default: here)"
    )
    action.add_argument("--data", metavar="FOLDER", help="where databases live (data.folder)")
    add_engine_options(action)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MOST_SHOWN:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST_SHOWN}")


def _run(options: argparse.Namespace) -> int:
    from borough.runtime.system import System, service_name

    if options.action in ("replay", "drop") and not (
        options.name or options.group or options.id or options.all
    ):
        raise ConfigurationError(
            f"borough events {options.action}: say which: a name, --group, --id, or --all"
        )
    # Of a name that is misspelt nothing would be dead.
    if options.data and not Path(options.data).is_dir():
        raise ConfigurationError(
            f"there is no folder {options.data}; name the one with the system's data by --data"
        )
    folder = {"data.folder": str(Path(options.data).resolve())} if options.data else {}
    path, given = Path(options.system), {**folder, **engine_flags(options)}
    system = System.load(path, flags=running_engines(path, given))
    flags = with_engines_in_use(system.configuration, given, map(service_name, system.services))
    if not flags.items() <= {**given, **chosen_engines(system.configuration)}.items():
        system = System.load(path, flags=running_engines(path, flags))
    if options.action == "rebuild":
        return asyncio.run(_rebuild(options, system))
    return asyncio.run(_act(options, system))


async def _rebuild(options: argparse.Namespace, system: System) -> int:
    from borough.clock import SystemClock
    from borough.runtime.code import reminders
    from borough.runtime.generations import rebuild
    from borough.runtime.topics import handlers_of, opened_store

    projections = {
        name: (service, mark.projection.tables)
        for service, marks in handlers_of(system).items()
        for name, mark in marks
        if mark.projection is not None
    }
    if options.name not in projections:
        known = ", ".join(sorted(projections)) or "none"
        there = reminders(system.configuration.data_folder, {})
        remedy = "; one that was rolled out is in the folder it came from: name that by --system"
        raise ConfigurationError(
            f"there is no projection {options.name}; projections are {known}{remedy if there else ''}"
        )
    service, tables = projections[options.name]
    async with opened_store(system.configuration, service, SystemClock()) as store:
        if store is None:
            raise ConfigurationError(f"{service} has no database yet; there is nothing to rebuild")
        generation = await rebuild(store, options.name, tables)
    if options.json:
        document = {"projection": options.name, "generation": generation}
        print(msgspec.json.encode(document).decode())
    else:
        print(f"{options.name} begins generation {generation}; a running service goes on with it")
    return 0


async def _act(options: argparse.Namespace, system: System) -> int:
    from borough.clock import SystemClock
    from borough.runtime.dead_letters import DeadLetters, Selection
    from borough.runtime.leases import consumed
    from borough.runtime.topics import handlers_of, opened_store, pushes_of, survey

    clock = SystemClock()
    if options.action == "topics":
        topics = await survey(system, clock)
        _show_topics(topics, options)
        unasked = {topic.unasked for topic in topics} - {None}
        for why in unasked:
            complain(f"borough: what topics hold is not known: {why}")
        return 1 if unasked else 0
    handlers = {
        service: [name for name, _ in marks] for service, marks in handlers_of(system).items()
    }
    for service, names in pushes_of(system).items():
        handlers.setdefault(service, []).extend(sorted(names))
    known = {name for names in handlers.values() for name in names}
    services = sorted(handlers)
    chosen = Selection(fingerprint=options.group, event_id=options.id)
    if options.name:
        service, dot, _ = options.name.partition(".")
        services = [service] if service in handlers else []
        if dot:
            chosen = Selection(options.name, options.group, options.id)
    found: list[Any] = []
    taken: set[str] = set()
    for service in services:
        async with opened_store(system.configuration, service, clock) as store:
            if store is not None:
                # What runs may be another version than what lies in the system's folder.
                running = await consumed(store, clock.epoch_s())
                known |= running
                taken |= running or known
                found += await _asked(DeadLetters(store, clock), options, chosen, known)
    if options.name and not found and options.name not in known.union(handlers):
        raise ConfigurationError(
            f"there is no service or handler {options.name}; handlers are "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    if options.action == "dead":
        if options.events and len(found) > options.limit:
            del found[options.limit :]
            complain(
                f"borough: there are more; these are the first {options.limit}, "
                f"--limit N shows up to {_MOST_SHOWN}"
            )
        _show(found, options)
        return 1 if found else 0
    _tell(found, taken, options)
    return 0 if found else 1


async def _asked(
    letters: DeadLetters, options: argparse.Namespace, chosen: Selection, known: set[str]
) -> Sequence[DeadGroup | DeadEvent]:
    if options.action == "replay":
        replayed = await letters.replay(chosen, known)
        for handler in sorted({group.handler for group in await letters.groups(chosen)} - known):
            complain(
                f"borough: {handler} is no handler of this system any more; its dead letters stay. "
                f"Drop them, or bring it back under this name (`name=`)"
            )
        return replayed
    if options.action == "drop":
        return await letters.drop(chosen)
    if options.events:
        return await letters.events(chosen, options.limit + 1)
    return await letters.groups(chosen)


def _show_topics(topics: Sequence[TopicState], options: argparse.Namespace) -> None:
    from borough.runtime.topics import of_taken

    if options.json:
        print(msgspec.json.encode(topics).decode())
        return
    if not topics:
        print("no contract publishes an event")
    for topic in topics:
        print(f"{topic.topic}  retains {topic.retains}: {_holds(topic)}")
        print(f"    {topic.outbox} in the outbox, {topic.scheduled} for later")
        for handler in topic.handlers:
            behind = f"{handler.behind} behind"
            if handler.behind is None:
                behind = "has not begun" if topic.unasked is None else "how far is not known"
            of = "" if handler.heard is None else of_taken(handler.dead, handler.heard)
            dead = f"{handler.dead} dead{f' ({of})' if of and handler.dead else ''}"
            print(f"    {handler.name}: {behind}, {handler.parked} parked, {dead}")
    if any(handler.parked or handler.dead for topic in topics for handler in topic.handlers):
        print(_WORDS)


def _holds(topic: TopicState) -> str:
    facts = topic.facts
    if facts is None:
        return "the broker cannot be asked"
    oldest = "" if facts.oldest_s is None else f", oldest {_time(facts.oldest_s)}"
    size = "" if facts.bytes is None else f", {facts.bytes / 1024:.0f} KiB"
    return f"{counted(facts.records, 'event')}{size}{oldest}"


def _show(found: Sequence[Any], options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(msgspec.json.encode([_plain(one) for one in found]).decode() + "\n")
        return
    if not found:
        print("nothing is dead")
    for one in found:
        if options.events:
            holds = ", those behind it under its key wait for it" if one.holds else ""
            key = "" if one.key is None else f" key {plain(one.key)}"
            print(f"{_time(one.died_at)}  {one.handler}  {one.type}{key}  {one.event_id}{holds}")
            print(
                f"    {one.attempts} attempts, group {one.fingerprint}, {one.error} in {one.frame}: {plain(one.cause)}"
            )
            print(f"    {printable(one.body.decode(errors='replace'))}")
        else:
            count = counted(one.events, "event")
            since, last = _time(one.first_at), _time(one.last_at)
            print(f"{one.fingerprint}  {one.handler}  {count} since {since}, last {last}")
            print(f"    {one.error} in {one.frame or 'no code of its own'}: {plain(one.cause)}")


def _plain(one: DeadGroup | DeadEvent) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(one)
    fields["group"] = fields.pop("fingerprint")  # as the option is called that takes it
    body = fields.pop("body", None)
    if body is not None:
        try:
            fields["event"] = msgspec.json.decode(body)
        except msgspec.DecodeError:
            fields["body"] = body.decode(errors="replace")
    return fields


def _tell(found: Sequence[DeadEvent], taken: set[str], options: argparse.Namespace) -> None:
    late = [event for event in found if event.key is not None and not event.holds]
    if options.json:
        ids = [event.event_id for event in found]
        document = {"action": options.action, "events": ids, "out_of_order": len(late)}
        print(msgspec.json.encode(document).decode())
        return
    if options.action == "drop":
        print(f"{len(found)} dropped")
        return
    if not found:
        print("nothing to replay")
        return
    left = sorted({event.handler for event in found} - taken)
    when = "a running service takes them within seconds"
    if left:
        when = (
            f"those of {', '.join(left)} wait: no process that runs has it now "
            "(another version, or a rollout is under way)"
        )
    print(f"{len(found)} replayed; {when}")
    if late:
        print(f"{len(late)} of them out of order: later events of their keys may have been handled")


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
