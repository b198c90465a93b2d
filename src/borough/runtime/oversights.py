"""What somebody has written and nothing reads: no fault, but most likely not what was meant.

A start says each in one sentence and goes on: a file or a table may be there for another version of a service.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType

from borough.contracts.source import source_place
from borough.contracts.struct import Event
from borough.runtime.data_options import KafkaOptions, RabbitmqOptions
from borough.runtime.options import LimitOptions, Options, SystemFacts
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.statements import first_table
from borough.runtime.wiring import Plan, ServicePlan

__all__ = ["oversights"]

_DIALECTS = ("sqlite", "postgres", "alembic")
_MIGRATIONS = ("migrate", "migrations")


def oversights(plan: Plan, options: Options) -> Iterator[str]:
    """A sentence for each, with its remedy; reads the folders of migrations."""
    for service in plan.services.values():
        facts = options.services.get(service.name, ServiceFacts())
        unread = list(_migrations(service))
        yield from unread or _tables(service, facts.store or options.data.store)
        if facts.settings and not service.settings:
            yield (
                f"services.{service.name}.settings is there, and {service.cls.__name__} has no Settings class to read "
                "it; annotate an attribute with one, or remove the table"
            )
        if facts.team is not None and options.teams and facts.team not in options.teams:
            close = difflib.get_close_matches(facts.team, options.teams, 1)
            meant = f"did you mean {close[0]}?" if close else f"add [teams.{facts.team}]"
            yield f'services.{service.name}.team is "{facts.team}", which no table names; {meant}'

    for contract in plan.absent.values():
        owner = plan.services.get(contract.service)
        if owner is not None:
            file, line = source_place(contract.cls)
            yield (
                f"{file}:{line}: {contract.wire_name} is answered by nobody: {owner.cls.__name__} does not "
                "inherit it; add it to its bases, or remove the contract"
            )
    yield from _imports(plan)
    yield from _events(plan)
    yield from _times(plan, options.limits)
    yield from _names(options)


def _imports(plan: Plan) -> Iterator[str]:
    """What a service has taken from the inside of another: it is not there where that one runs elsewhere."""
    homes = {  # of any other module the folder may be more than the service's
        f"{service.folder}/": name
        for name, service in plan.services.items()
        if service.cls.__module__.endswith(".service")
    }
    inside = {
        name: (module, home)
        for name, module in list(sys.modules.items())
        if (home := _home_of(module, homes)) is not None
    }
    contracts = [vars(module) for name, (module, _) in inside.items() if _is_contract(name)]
    promised = {id(value) for each in contracts for value in each.values()}
    for name, (module, home) in sorted(inside.items()):
        if _is_test(name):
            continue
        for word, value in sorted(vars(module).items()):
            source = _module_of(value)
            if source not in inside or _is_contract(source) or id(value) in promised:
                continue
            other = inside[source][1]
            if other != home:
                yield (
                    f"{module.__file__}: {word} is from {source}, the inside of the service {homes[other]}, and is not "
                    "there where that one runs elsewhere; import of another service its contract alone"
                )


def _is_test(module: str) -> bool:
    return any(part == "conftest" or part.startswith("test") for part in module.split("."))


def _is_contract(module: str) -> bool:
    return "contract" in module.split(".")


def _home_of(module: ModuleType, homes: Mapping[str, str]) -> str | None:
    """The folder of the service to which a module belongs."""
    file = getattr(module, "__file__", None)
    found = [home for home in homes if isinstance(file, str) and file.startswith(home)]
    return max(found, key=len, default=None)


def _module_of(value: object) -> str | None:
    """Where it stands; None for what is no code, and for a package, by which others come to its contract."""
    # A stand-in for what is made when it is needed would make it for `isinstance`.
    kind = type(value)
    if issubclass(kind, ModuleType):
        return None if hasattr(value, "__path__") else str(getattr(value, "__name__", None))
    return value.__module__ if issubclass(kind, (type, FunctionType)) else None


def _events(plan: Plan) -> Iterator[str]:
    """Events beside a contract that no contract publishes: publishing them fails, and hearing them is a fault."""
    published = {event.kind for each in plan.contracts.values() for event in each.events.values()}
    names = sorted({each.cls.__module__ for each in plan.contracts.values()})
    for module in [sys.modules[name] for name in names if name in sys.modules]:
        for kind in vars(module).values():
            if not isinstance(kind, type) or not issubclass(kind, Event) or kind in published:
                continue
            if kind.__module__ == module.__name__ and not kind.__subclasses__():
                file, line = source_place(kind)
                yield (
                    f"{file}:{line}: no contract publishes the event {kind.__name__}; name it in publishes=[...], "
                    "or remove it"
                )


def _times(plan: Plan, limits: LimitOptions) -> Iterator[str]:
    """Operations that may take longer than their calls have: from outside, where nobody asks for a time."""
    provided = [each for service in plan.services.values() for each, _ in service.provides]
    for operation in (each for contract in provided for each in contract.operations.values()):
        own_s = operation.mark.timeout_s
        if own_s is None or operation.mark.allow is None:
            continue
        what = f"{operation.wire_name} has timeout_s={own_s:g}"
        if own_s > limits.longest_timeout_s:
            yield (
                f"{what}, and no call from outside has more than limits.longest_timeout_s "
                f"({limits.longest_timeout_s:g} s); raise that, or lower it"
            )
        elif own_s > limits.default_timeout_s:
            yield (
                f"{what}, and a call from outside that asks for no time has limits.default_timeout_s "
                f"({limits.default_timeout_s:g} s); raise that, or let its callers send Borough-Timeout-Ms"
            )


def _names(options: Options) -> Iterator[str]:
    events = options.events
    prefixes = {"rabbitmq": events.rabbitmq.prefix, "kafka": events.kafka.prefix}
    usual = {"rabbitmq": RabbitmqOptions().prefix, "kafka": KafkaOptions().prefix}
    unnamed = options.system.name == SystemFacts().name
    if unnamed and events.broker in usual and prefixes[events.broker] == usual[events.broker]:
        yield (
            f"system.name is not given: what services have at the broker is kept for their system by its name, and two "
            f"systems without one are not told apart; set it, or events.{events.broker}.prefix"
        )


def _migrations(service: ServicePlan) -> Iterator[str]:
    folder = service.folder / "migrations"
    if not folder.is_dir():
        for path in sorted(service.folder.glob("*")):
            # Closer than `integrations` and `operations`, which have queries of their own.
            is_meant = difflib.get_close_matches(path.name.lower(), _MIGRATIONS, cutoff=0.85)
            if is_meant and any(path.rglob("*.sql")):
                yield f"{path} is applied to nothing: the folder of migrations is {folder}; rename it"
        return
    beside = sorted(folder.glob("*.sql"))
    folders = [name for name in _DIALECTS if (folder / name).is_dir()]
    plain = [name for name in folders if name != "alembic"]
    deeper = [path for name in plain for path in sorted((folder / name).glob("*/*.sql"))]
    if not service.needs_database and (beside or any(any(folder.glob(f"{d}/*")) for d in folders)):
        yield (
            f"{folder} is applied to nothing: {service.cls.__name__} has no database; add `db: Database` to it, "
            "or remove the folder"
        )
    elif beside and folders:
        yield (
            f"{beside[0]} is applied to nothing, since {' and '.join(folders)} is beside it; move it there"
        )
    elif deeper:
        yield f"{deeper[0]} is applied to nothing, since it is in a folder of its own; move it up, or elsewhere"


def _tables(service: ServicePlan, store: str) -> Iterator[str]:
    """A database that is asked for tables, and no migration that makes any: the first statement would fail."""
    folder, own = service.folder / "migrations", service.cls.__module__
    if not service.databases or (folder / "alembic").is_dir() or any(folder.rglob("*.sql")):
        return
    places: list[ModuleType | type] = [
        service.cls
    ]  # of any other module the rest may be another service's
    if own.endswith(".service"):
        home = {f"{service.folder}/": own}
        modules = [(name, each) for name, each in sorted(sys.modules.items()) if not _is_test(name)]
        places = [each for name, each in modules if name == own or _home_of(each, home)]
    if (asked := first_table(places)) is not None:
        file, line, table = asked
        yield (
            f"{file}:{line}: the table {table} is asked for, and {service.name} has no migrations that make one; write "
            f"{folder / store}/0001_{table.lower()}.sql, with `create table {table} (...)`"
        )
