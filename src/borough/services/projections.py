"""Projections: a service's own tables, made of other services' events and of nothing else.

So they can be thrown away and made anew: a new generation begins with empty tables and the earliest
event that is retained. `Projections` tells a service how far its own projections are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from borough.contracts.struct import Event, Struct
from borough.services.handlers import ON_MARK, OnDead, OnMark, ProjectionMark, refuse_other

__all__ = ["Lag", "Projections", "judge_projection", "projection"]

F = TypeVar("F", bound=Callable[..., Any])
_TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Lag(Struct):
    """How far a projection is behind: the age in seconds of the oldest event that it does not show.

    `rebuilding`: it has not yet come to where the topic ended when its generation began.
    """

    seconds: float
    rebuilding: bool


class Projections(Protocol):
    """A service's own projections, by the name that they have in it: `projections: Projections`."""

    async def reached(self, name: str, position: str, /, *, within_s: float = 5.0) -> None:
        """Wait until the projection shows what was written at `position`, a `Transaction.position`.

        Raises `DeadlineExceeded` when that takes longer than `within_s` or the call has time for,
        `InvalidRequest` for what is no position.
        """
        ...

    async def lag(self, name: str, /) -> Lag:
        """How far the projection is behind."""
        ...


def projection(
    *events: type[Event],
    tables: Sequence[str],
    generation: int = 1,
    name: str | None = None,
    on_dead: OnDead = "continue",
) -> Callable[[F], F]:
    """Keep tables of one's own from others' events, by `(self, event, tx)`; nothing else writes them.

    It begins with the earliest event that is retained. With another `generation` its tables are
    emptied at the next start and made anew, in the same way. Otherwise it is a handler as by `@on`.
    Raises `TypeError` for what is no event.
    """
    for event in events:
        refuse_other(event, "projection")
    if isinstance(tables, str):
        raise TypeError(f'tables="{tables}" is no list; write tables=["{tables}"]')
    mark = OnMark(events, name, on_dead, ProjectionMark(tuple(tables), generation))

    def apply(function: F) -> F:
        setattr(function, ON_MARK, mark)
        return function

    return apply


def judge_projection(mark: ProjectionMark, takes_transaction: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with a projection, and the remedies."""
    tables: tuple[Any, ...] = mark.tables
    if not takes_transaction:
        yield (
            "is a projection without a transaction",
            "Write `async def name(self, event, tx)`: its rows commit with its place in the topic",
        )
    if not tables:
        yield "is a projection without tables", 'Name those that it writes: tables=["prices"]'
    for table in tables:
        if not (isinstance(table, str) and _TABLE.fullmatch(table)):
            yield f"names the table {table!r}", "Use letters, digits and _"
        elif table.lower().startswith(("borough_", "sqlite_")):
            yield f"names the table {table}, which is not the service's own", "Name its own tables"
    if type(mark.generation) is not int or mark.generation < 1:
        yield f"is of generation {mark.generation!r}", "Write a whole number, 1 or more"
