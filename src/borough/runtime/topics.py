"""What every topic of a system holds, and how far each of its handlers is: looked up in the files.

Nothing needs to run for it, and what runs is not disturbed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from borough.clock import Clock
from borough.contracts.operation import Contract
from borough.contracts.reading import read_contracts
from borough.errors import BrokerError, ConfigurationError, StoreError
from borough.ports import Broker, Store, TopicFacts
from borough.runtime.adapters import has_database, make_broker, make_store
from borough.runtime.configuration import Configuration
from borough.runtime.history import events_behind, history_facts, history_name
from borough.runtime.positions import noted_in
from borough.runtime.push_plan import plan_pushes
from borough.runtime.system import System, contract_classes, service_name
from borough.services.handlers import ON_MARK, OnMark
from borough.stores.schema import borough_migrations

__all__ = [
    "HEARD",
    "KEYS",
    "HandlerState",
    "TopicState",
    "Topics",
    "handlers_of",
    "histories_heard",
    "of_taken",
    "opened_store",
    "pushes_of",
    "survey",
]

_SEQUENCE = "select sequence from borough_positions where handler = $1 and topic = $2"
_PARKED = "select count(*) from borough_parked where handler = $1 and topic = $2"
_DEAD = "select count(*) from borough_dead where handler = $1 and topic = $2"
_MOST_PARKED = 10_000
KEYS = f"""
select count(distinct key) from (
select key from borough_parked where handler = $1 and topic = $2 limit {_MOST_PARKED}) as parked
"""
_MOST_HEARD = 10_000
HEARD = f"""
select count(*) from (select 1 from borough_inbox where handler = $1 limit {_MOST_HEARD + 1}) as heard
"""
_WAITING = "select count(*) from borough_outbox where topic = $1"
_LEFT_BEHIND = """
select handler from borough_parked where topic = $1
union select handler from borough_dead where topic = $1
"""
_NOTHING = TopicFacts(0, 0, 0, 0, 0, None)
_APPLIED = "select 1 from borough_migrations where space = 'borough' and name = $1"
_LATER = "select count(*) from borough_scheduled where topic = $1"


class HandlerState(msgspec.Struct, frozen=True):
    """How far a handler is. `behind` counts events it has not come to, None before its first start, and where the
    broker cannot be asked.

    Where any are parked or dead, `keys` counts keys whose events are parked, among 10,000 of these, and `heard` the
    events of all its topics that it has taken in the inbox's time, of which these are some; 10,001 are more than
    10,000.
    """

    name: str
    behind: int | None
    parked: int
    dead: int
    keys: int = 0
    heard: int | None = None


class TopicState(msgspec.Struct, frozen=True):
    """A topic, what it holds, and who hears it.

    `outbox` counts events on their way to it, `scheduled` those for later. `unasked` says why the broker could not
    be asked what it holds; `facts` is None then.
    """

    topic: str
    retains: str
    facts: TopicFacts | None
    outbox: int
    scheduled: int
    handlers: Sequence[HandlerState]
    unasked: str | None = None


class Topics:
    """What is known of a system's topics without looking into anything. `known` has every handler's name."""

    def __init__(self, system: System) -> None:
        """Raises `ConfigurationError` for a push that does not fit."""
        self._contracts = _publishing(system)
        handlers = handlers_of(system)
        self._heard = _heard(handlers, self._contracts)
        self.keeps_own = system.configuration.options.events.broker == "rabbitmq"
        for push in plan_pushes(system.configuration.options, self._contracts):
            self._heard[push.topic].add(push.name)
        self.services = {*handlers, *(contract.service for contract in self._contracts)}
        named = {name for marks in handlers.values() for name, _ in marks}
        self.known = frozenset(named.union(*self._heard.values()))

    async def states(
        self, stores: Mapping[str, Store | None], broker: Broker | None, patience_s: float | None
    ) -> Sequence[TopicState]:
        """Every topic as it is, by name. `broker` None: it holds nothing, or publishers keep the history.

        One that is away, or tells nothing within `patience_s` (None: as long as it takes to say so itself), is asked
        once: what lies in the databases is told all the same.
        """
        found: list[TopicState] = []
        unasked: str | None = None
        for contract in self._contracts:
            topic = contract.wire_name
            publisher = stores[contract.service]
            counted = publisher if self.keeps_own else None
            facts, origin = await _history(counted, topic), ""
            if broker is not None and unasked is None:
                try:
                    async with asyncio.timeout(patience_s):
                        facts, origin = await broker.facts(topic), await broker.origin(topic)
                except TimeoutError:
                    unasked = f"it has told nothing of {topic} within {patience_s:g} s"
                except BrokerError as error:
                    unasked = str(error)
            if unasked is not None:
                facts = None
            names = self._heard[topic] | await _left_behind(stores, topic)
            states = [
                await _handler_state(stores, name, topic, facts, counted, origin)
                for name in sorted(names)
            ]
            outbox, scheduled = await _on_their_way(publisher, topic)
            retains = contract.retention.words
            found.append(TopicState(topic, retains, facts, outbox, scheduled, states, unasked))
        return found


def of_taken(part: int, heard: int) -> str:
    """Of how many events that a handler has taken these are, as a phrase; empty where that is not known.

    The inbox forgets sooner than an event is forgotten that is parked or dead: then those are no part of these.
    """
    if part <= heard:
        taken = f"{heard:,}" if heard <= _MOST_HEARD else f"more than {_MOST_HEARD:,}"
        return f"of {taken} that it has taken"
    if heard > _MOST_HEARD or not heard:
        return ""
    return f"some of them longer ago than the {heard:,} that it has taken lately"


async def survey(system: System, clock: Clock) -> Sequence[TopicState]:
    """Every topic that a contract of the system publishes, by name; looked up beside what runs."""
    topics = Topics(system)
    async with AsyncExitStack() as stack:
        broker = await _opened_broker(stack, system.configuration, clock)
        stores: dict[str, Store | None] = {}
        for service in topics.services:
            stores[service] = await stack.enter_async_context(
                opened_store(system.configuration, service, clock)
            )
        return await topics.states(stores, broker, None)


def histories_heard(system: System) -> dict[str, frozenset[str]]:
    """By service, the histories (wire names of their contracts) that its handlers may ask for."""
    services = {event.kind: c.service for c in _publishing(system) for event in c.events.values()}
    return {
        service: frozenset(
            history_name(services[kind])
            for _, mark in marks
            for kind in mark.events
            if kind in services
        )
        for service, marks in handlers_of(system).items()
    }


def _publishing(system: System) -> list[Contract]:
    """The contracts that publish, by name."""
    classes = [cls for service in system.services for cls in contract_classes(service)]
    contracts = read_contracts(dict.fromkeys([*classes, *system.contracts]))
    return sorted((c for c in contracts if c.events), key=lambda c: c.wire_name)


async def _opened_broker(
    stack: AsyncExitStack, configuration: Configuration, clock: Clock
) -> Broker | None:
    """The broker, None where it holds nothing (yet): a publisher's database keeps the history itself."""
    kind, folder = configuration.options.events.broker, configuration.data_folder
    if kind == "rabbitmq" or (kind == "embedded" and not (folder / "events").is_dir()):
        return None
    broker = make_broker(configuration, folder, clock)
    stack.push_async_callback(broker.close)
    await broker.open()
    return broker


def pushes_of(system: System) -> dict[str, set[str]]:
    """The handlers that push events, by publishing service. Raises `ConfigurationError`."""
    found: dict[str, set[str]] = {}
    for push in plan_pushes(system.configuration.options, _publishing(system)):
        found.setdefault(push.service, set()).add(push.name)
    return found


def handlers_of(system: System) -> dict[str, list[tuple[str, OnMark]]]:
    """The handlers of each service: durable name and mark."""
    found: dict[str, list[tuple[str, OnMark]]] = {}
    for cls in system.services:
        service = service_name(cls)
        marks = ((name, getattr(getattr(cls, name, None), ON_MARK, None)) for name in dir(cls))
        found[service] = [(f"{service}.{mark.name or name}", mark) for name, mark in marks if mark]
    return found


def _heard(
    handlers: Mapping[str, Sequence[tuple[str, OnMark]]], contracts: Sequence[Contract]
) -> dict[str, set[str]]:
    """The handlers of each topic."""
    topics = {event.kind: event.topic for c in contracts for event in c.events.values()}
    heard: dict[str, set[str]] = {contract.wire_name: set() for contract in contracts}
    for marks in handlers.values():
        for name, mark in marks:
            for kind in mark.events:
                if kind in topics:
                    heard[topics[kind]].add(name)
    return heard


async def _history(publisher: Store | None, topic: str) -> TopicFacts | None:
    return _NOTHING if publisher is None else await history_facts(publisher, topic)


async def _handler_state(
    stores: Mapping[str, Store | None],
    name: str,
    topic: str,
    facts: TopicFacts | None,
    publisher: Store | None,
    origin: str,
) -> HandlerState:
    """`publisher` is the database in which events are counted, None where its log `origin` counts them."""
    store = stores.get(name.partition(".")[0])
    if store is None:
        return HandlerState(name, None, 0, 0)
    behind: int | None = None
    if publisher is not None:
        sequence = await store.maybe(int, _SEQUENCE, name, topic)
        behind = None if sequence is None else await events_behind(publisher, topic, sequence)
    elif facts is not None:
        position = await noted_in(store, name, topic, origin)
        behind = None if position is None else max(0, facts.end - max(position, facts.earliest))
    parked = await store.one(int, _PARKED, name, topic)
    dead = await store.one(int, _DEAD, name, topic)
    keys = await store.one(int, KEYS, name, topic) if parked else 0
    heard = await store.one(int, HEARD, name) if parked or dead else None
    return HandlerState(name, behind, parked, dead, keys, heard)


async def _left_behind(stores: Mapping[str, Store | None], topic: str) -> set[str]:
    """Handlers with events put aside, among them those that the code does not have any more."""
    found: set[str] = set()
    for store in stores.values():
        if store is not None:
            found.update(await store.all(str, _LEFT_BEHIND, topic))
    return found


async def _on_their_way(store: Store | None, topic: str) -> tuple[int, int]:
    if store is None:
        return 0, 0
    return await store.one(int, _WAITING, topic), await store.one(int, _LATER, topic)


@asynccontextmanager
async def opened_store(
    configuration: Configuration, service: str, clock: Clock
) -> AsyncGenerator[Store | None]:
    """A service's database, beside the process that runs it; None while there is none.

    Raises `ConfigurationError` where it cannot be had.
    """
    folder = configuration.data_folder
    if not has_database(configuration, folder, service):
        yield None
        return
    store = make_store(configuration, folder, service, clock)
    try:
        await store.open()
        yield store
    except StoreError as error:
        if await _is_older(store):
            raise ConfigurationError(
                f"the database of {service} is as an earlier version of Borough has left it; start the system once "
                "with this one"
            ) from error
        raise ConfigurationError(f"the database of {service}: {error}") from error
    finally:
        await store.close()


async def _is_older(store: Store) -> bool:
    """Whether it lacks tables that are looked into here, as it was not started since."""
    newest = borough_migrations(store.dialect)[-1].name
    try:
        return await store.maybe(int, _APPLIED, newest) is None
    except StoreError:
        return False
