"""What a service does of itself, from the marks on its methods: hear, run on a schedule, mount an application."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any, get_args

import msgspec

from borough.contracts.marks import RAW_MARK, RawMark
from borough.contracts.operation import BoundEvent
from borough.contracts.reading import contract_mark
from borough.contracts.source import FaultList
from borough.services.data import Transaction
from borough.services.handlers import (
    EVERY_MARK,
    ON_MARK,
    EveryMark,
    OnDead,
    OnMark,
    ProjectionMark,
)
from borough.services.projections import judge_projection
from borough.services.service import Service

__all__ = ["HandlerPlan", "MethodPlans", "MountPlan", "SchedulePlan", "takes"]

_MOUNT = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~-]+)+")


class HandlerPlan(msgspec.Struct, frozen=True):
    """One `@on` handler: durable name, method, the events it hears, its form, what the dead do.

    `projection` says what else it is.
    """

    name: str
    method: str
    events: tuple[BoundEvent, ...]
    takes_transaction: bool
    on_dead: OnDead = "continue"
    projection: ProjectionMark | None = None


class SchedulePlan(msgspec.Struct, frozen=True):
    """One `@every` schedule: durable name, method, interval in seconds, and its form."""

    name: str
    method: str
    interval_s: float
    takes_transaction: bool


class MountPlan(msgspec.Struct, frozen=True):
    """One raw ASGI application: its whole path prefix, the method that returns it, who may use it."""

    path: str
    method: str
    mark: RawMark


class MethodPlans:
    """Reads the marked methods of service classes; faults are added.

    `events` are those of all contracts, `unread` those of contracts that have faults of their own.
    """

    def __init__(
        self,
        events: Mapping[type[Any], BoundEvent],
        unread: Collection[type[Any]],
        faults: FaultList,
    ) -> None:
        self._events = events
        self._unread = unread
        self._faults = faults

    def of(
        self, cls: type[Service], service: str
    ) -> tuple[tuple[HandlerPlan, ...], tuple[SchedulePlan, ...], tuple[MountPlan, ...]]:
        """Those of one service class."""
        handlers: dict[str, HandlerPlan] = {}
        schedules: dict[str, SchedulePlan] = {}
        mounts: list[MountPlan] = []
        for method in dir(cls):
            function = getattr(cls, method, None)
            on: OnMark | None = getattr(function, ON_MARK, None)
            every: EveryMark | None = getattr(function, EVERY_MARK, None)
            raw: RawMark | None = getattr(function, RAW_MARK, None)
            if on is not None:
                plan = self._handler(cls, service, method, function, on)
                if plan.name in handlers:
                    self._faults.add(
                        f"two handlers are named {plan.name}", "Give one `name=`", function
                    )
                handlers[plan.name] = plan
            if every is not None:
                name = f"{service}.{every.name or method}"
                if name in schedules:
                    self._faults.add(
                        f"two schedules are named {name}", "Give one `name=`", function
                    )
                form = self._form(cls, method, function, None)
                schedules[name] = SchedulePlan(name, method, every.interval_s, form)
            if raw is not None:
                path = f"/{service}" + ("" if raw.path == "/" else raw.path)
                self._mount(cls, function, service, path, mounts)
                mounts.append(MountPlan(path, method, raw))
        self._tables(cls, handlers.values())
        return tuple(handlers.values()), tuple(schedules.values()), tuple(mounts)

    def _mount(
        self, cls: type[Service], function: Any, service: str, path: str, mounts: list[MountPlan]
    ) -> None:
        what = f"{cls.__name__}.{function.__name__}"
        if not (_MOUNT.fullmatch(path) and f"{path}/".startswith(f"/{service}/")):
            self._faults.add(
                f"{what} is mounted at {path!r}", "Write /segments without slots", function
            )
        if any(mount.path == path for mount in mounts):
            self._faults.add(f"two raw applications are mounted at {path}", "Move one", function)
        if len(inspect.signature(function).parameters) != 1 or inspect.iscoroutinefunction(
            function
        ):
            self._faults.add(
                f"{what} has the wrong form",
                f"Write `def {function.__name__}(self)`, which returns the ASGI application",
                function,
            )

    def _handler(
        self, cls: type[Service], service: str, method: str, function: Any, mark: OnMark
    ) -> HandlerPlan:
        events: list[BoundEvent] = []
        if not mark.events:
            self._faults.add(
                f"{cls.__name__}.{method} hears no event", "Name one: @on(Event)", function
            )
        for kind in mark.events:
            event = self._events.get(kind)
            if event is None and kind in self._unread:
                continue  # its contract's own fault is told
            if event is None:
                self._faults.add(
                    f"{cls.__name__}.{method} hears {_name(kind)}, which no contract here publishes",
                    "Name it in `publishes=[...]` of the contract that it belongs to",
                    function,
                )
            else:
                events.append(event)
        if len({event.topic for event in events}) > 1:
            self._faults.add(
                f"{cls.__name__}.{method} hears events of several contracts, between which there is no order",
                "Write one handler for each contract",
                function,
            )
        form = self._form(cls, method, function, mark.events)
        if mark.on_dead not in get_args(OnDead):
            self._faults.add(
                f"{cls.__name__}.{method} has on_dead={mark.on_dead!r}",
                'Write on_dead="continue" or on_dead="block"',
                function,
            )
        if mark.projection is not None:
            for message, remedy in judge_projection(mark.projection, form):
                self._faults.add(f"{cls.__name__}.{method} {message}", remedy, function)
        name = f"{service}.{mark.name or method}"
        return HandlerPlan(name, method, tuple(events), form, mark.on_dead, mark.projection)

    def _tables(self, cls: type[Service], handlers: Iterable[HandlerPlan]) -> None:
        """A table belongs to one projection, which may empty it."""
        owners: dict[str, HandlerPlan] = {}
        for handler in handlers:
            for table in handler.projection.tables if handler.projection is not None else ():
                owner = owners.setdefault(str(table).lower(), handler)
                if owner is not handler:
                    self._faults.add(
                        f"{cls.__name__}.{handler.method} and {owner.method} both make the table {table}",
                        "Give each projection tables of its own",
                        getattr(cls, handler.method),
                    )

    def _form(
        self, cls: type[Service], method: str, function: Any, events: tuple[type[Any], ...] | None
    ) -> bool:
        """Whether it takes a transaction after the event, where it hears any; anything else is a fault."""
        fixed = 0 if events is None else 1
        names = list(inspect.signature(function).parameters)[1:]
        count = len(names) - fixed
        right = inspect.iscoroutinefunction(function) and takes(function, 1 + fixed + count)
        wanted = "(self) or (self, tx)" if events is None else "(self, event) or (self, event, tx)"
        if count not in (0, 1) or not right:
            self._faults.add(
                f"{cls.__name__}.{method} has the wrong form",
                f"Write `async def {method}{wanted}`",
                function,
            )
            return count == 1
        said = [(name, _annotation(function, name)) for name in names]
        for name, kind in said[:fixed]:
            other = [each for each in events or () if not _may_be(kind, each)]
            if other:
                heard = " | ".join(map(_name, events or ()))
                self._faults.add(
                    f"{cls.__name__}.{method} hears {_name(other[0])} and takes `{name}: {_name(kind)}`",
                    f"Write `{name}: {heard}`",
                    function,
                )
                return count == 1
        for name, kind in said[fixed:]:
            if not _may_be(kind, Transaction):
                self._faults.add(
                    f"{cls.__name__}.{method} takes `{name}: {_name(kind)}` where it is given a transaction",
                    f"Write `async def {method}{wanted}`, and ask for all else by attributes of the class",
                    function,
                )
        return count == 1


def _annotation(function: Any, name: str) -> Any:
    """What a parameter is said to be; Any where nothing is said, or nothing that can be read here."""
    said = inspect.signature(function).parameters[name].annotation
    if said is inspect.Parameter.empty:
        return Any
    if isinstance(said, str):
        try:
            said = eval(said, inspect.unwrap(function).__globals__)
        except Exception:  # imported for type checkers only
            return Any
    return said


def _may_be(kind: Any, given: type[Any]) -> bool:
    """Whether a parameter of this annotation takes such a value. What is not known for sure may be."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(_may_be(each, given) for each in typing.get_args(kind))
    if kind is Any or not isinstance(kind, type) or kind in given.__mro__:
        return True
    is_own = contract_mark(kind) is None and kind.__module__.partition(".")[0] != "borough"
    return is_own and bool(getattr(kind, "_is_protocol", False))


def takes(function: Any, count: int) -> bool:
    """Whether a function can be called with so many values by position."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", thing))
