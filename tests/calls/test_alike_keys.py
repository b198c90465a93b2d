"""A business fact is one key, and a request one request, wherever the callee runs."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Protocol, cast, final

import pytest

from borough import Database, Instant, Service, Struct, System, contract, post
from borough.errors import InvalidRequest
from borough.testing import Running, start
from tests.modes import IN_ONE_PROCESS


class Size(enum.Enum):
    """How large it is."""

    SMALL = "small"


class Note(Struct):
    """What is said beside it."""

    text: str


@contract("mint", version="1.0")
class Mint(Protocol):
    """Strikes each coin once."""

    @post("/weights", idempotent_by="grams")
    async def weigh(self, grams: float) -> int: ...

    @post("/days", idempotent_by="at")
    async def date(self, at: Instant) -> int: ...

    @post("/sizes", idempotent_by="size")
    async def size(self, size: Size) -> int: ...

    @post("/names", idempotent_by="name")
    async def name(self, name: str, note: Note) -> int: ...


@final
class MintService(Service, Mint):
    """Counts its runs."""

    db: Database

    async def open(self) -> None:
        self.runs = 0

    async def _struck(self) -> int:
        self.runs += 1
        async with self.db.transaction() as tx:
            return await tx.answer(self.runs)

    async def weigh(self, grams: float) -> int:
        return await self._struck()

    async def date(self, at: Instant) -> int:
        return await self._struck()

    async def size(self, size: Size) -> int:
        return await self._struck()

    async def name(self, name: str, note: Note) -> int:
        return await self._struck()


@pytest.fixture(params=IN_ONE_PROCESS)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with start(System([MintService]), mode=request.param) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("weigh", (3, 3.0)),
        ("weigh", (10**16, 1e16)),
        ("date", (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z")),
        ("size", (Size.SMALL, "small")),
    ],
)
async def test_what_is_read_as_one_fact_is_one_key(
    running: Running, name: str, facts: tuple[Any, ...]
) -> None:
    strike: Any = getattr(running.client(Mint), name)
    assert [await strike(fact) for fact in facts] == [1, 1]


@pytest.mark.parametrize(
    ("name", "note"),
    [("\ud800", Note(text="a")), ("a", Note(text="\ud800")), ("a", Note(text=cast("Any", object())))],
)  # fmt: skip
async def test_what_no_request_can_carry_is_refused_under_a_key(
    running: Running, name: str, note: Note
) -> None:
    with pytest.raises(InvalidRequest):
        await running.client(Mint).name(name, note)
    assert cast("Any", running.service("mint")).runs == 0
