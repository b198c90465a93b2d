"""`borough events`: dead letters, and what an operator does about them.

Each service's database is opened beside the running process, or without one: a replayed event waits
there, and the consumer finds it within seconds, or at the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from borough.errors import ConfigurationError, StoreError
from borough.services.handlers import ON_MARK

if TYPE_CHECKING:
    from borough.runtime.dead_letters import DeadEvent, DeadGroup, DeadLetters, Selection
    from borough.runtime.system import System

__all__ = ["add"]

_EXAMPLE = """examples:
  borough events dead --system examples/shop
  borough events dead notifications.send_receipt --events
  borough events replay notifications.send_receipt --group 3f2a9c41d07b
  borough events drop --id 01a214e5d0eb70219c866760cc2f7f05-1"""
_SHOWN = 1000


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "events",
        help="show, replay or drop dead letters",
        description="Events that a handler has given up, kept with their cause in its database.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    dead = actions.add_parser(
        "dead",
        help="list dead letters by group; exit status 1 when there are any",
        epilog="example: borough events dead orders --system examples/shop",
    )
    dead.add_argument("--events", action="store_true", help="one by one, with their bodies")
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
        action.add_argument("--json", action="store_true", help="print one JSON document")
        action.add_argument(
            "--system", default=".", metavar="PATH", help="the system's folder (default: here)"
        )
        action.add_argument("--data", metavar="FOLDER", help="where databases live (data.folder)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from borough.runtime.system import System

    if options.action != "dead" and not (
        options.name or options.group or options.id or options.all
    ):
        raise ConfigurationError(
            f"borough events {options.action}: say which: a name, --group, --id, or --all"
        )
    flags = {"data.folder": str(Path(options.data).resolve())} if options.data else None
    system = System.load(options.system, flags=flags)
    return asyncio.run(_act(options, system))


async def _act(options: argparse.Namespace, system: System) -> int:
    from borough.runtime.dead_letters import Selection

    handlers = _handlers(system)
    services = sorted(handlers)
    chosen = Selection(fingerprint=options.group, event_id=options.id)
    if options.name:
        service, dot, _ = options.name.partition(".")
        services = [service] if service in handlers else []
        if dot:
            chosen = Selection(options.name, options.group, options.id)
    found: list[Any] = []
    for service in services:
        async with _letters(system, service) as letters:
            if letters is not None:
                found += await _asked(letters, options, chosen)
    known = {name for names in handlers.values() for name in names}
    if options.name and not found and options.name not in known.union(handlers):
        raise ConfigurationError(
            f"there is no service or handler {options.name}; handlers are "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    if options.action == "dead":
        _show(found, options)
        return 1 if found else 0
    _tell(found, options)
    return 0 if found else 1


def _handlers(system: System) -> dict[str, list[str]]:
    """The handlers of each service, by durable name."""
    from borough.runtime.system import service_name

    found: dict[str, list[str]] = {}
    for cls in system.services:
        service = service_name(cls)
        marks = ((name, getattr(getattr(cls, name), ON_MARK, None)) for name in dir(cls))
        found[service] = [f"{service}.{mark.name or name}" for name, mark in marks if mark]
    return found


async def _asked(
    letters: DeadLetters, options: argparse.Namespace, chosen: Selection
) -> Sequence[DeadGroup | DeadEvent]:
    if options.action == "replay":
        return await letters.replay(chosen)
    if options.action == "drop":
        return await letters.drop(chosen)
    if options.events:
        return await letters.events(chosen, _SHOWN)
    return await letters.groups(chosen)


@asynccontextmanager
async def _letters(system: System, service: str) -> AsyncGenerator[DeadLetters | None]:
    """The dead letters of a service; None while it has no database yet."""
    from borough.clock import SystemClock
    from borough.runtime.dead_letters import DeadLetters
    from borough.stores.schema import BOROUGH_MIGRATIONS
    from borough.stores.sqlite import SqliteStore

    path = system.configuration.data_folder / f"{service}.db"
    if not path.exists():
        yield None
        return
    clock = SystemClock()
    store = SqliteStore(path, clock=clock)
    try:
        await store.open()
        await store.migrate("borough", BOROUGH_MIGRATIONS)
        yield DeadLetters(store, clock)
    except StoreError as error:
        raise ConfigurationError(f"the database of {service}: {error}") from error
    finally:
        await store.close()


def _show(found: Sequence[Any], options: argparse.Namespace) -> None:
    if options.json:
        sys.stdout.write(msgspec.json.encode([_plain(one) for one in found]).decode() + "\n")
        return
    if not found:
        print("nothing is dead")
    for one in found:
        if options.events:
            holds = ", holds those behind it" if one.holds else ""
            key = "" if one.key is None else f" key {one.key}"
            print(f"{_time(one.died_at)}  {one.handler}  {one.type}{key}  {one.event_id}{holds}")
            print(
                f"    {one.attempts} attempts, group {one.fingerprint}, {one.error} in {one.frame}: {one.cause}"
            )
            print(f"    {one.body.decode(errors='replace')}")
        else:
            print(
                f"{one.fingerprint}  {one.handler}  {one.events} since {_time(one.first_at)}, last {_time(one.last_at)}"
            )
            print(f"    {one.error} in {one.frame or 'no code of its own'}: {one.cause}")


def _plain(one: DeadGroup | DeadEvent) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.structs.asdict(one)
    body = fields.pop("body", None)
    if body is not None:
        try:
            fields["event"] = msgspec.json.decode(body)
        except msgspec.DecodeError:
            fields["body"] = body.decode(errors="replace")
    return fields


def _tell(found: Sequence[DeadEvent], options: argparse.Namespace) -> None:
    late = [event for event in found if event.key is not None and not event.holds]
    if options.json:
        ids = [event.event_id for event in found]
        document = {"action": options.action, "events": ids, "out_of_order": len(late)}
        print(msgspec.json.encode(document).decode())
        return
    if options.action == "drop":
        print(f"{len(found)} dropped")
        return
    print(f"{len(found)} replayed; a running service takes them within seconds")
    if late:
        print(f"{len(late)} of them out of order: later events of their keys have been handled")


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
