"""The small system that promises are tried on: a desk that tells of notes, and a hall that hears of them.

Nothing here makes a second telling harmless, so that one is seen. Its SQL is what all engines understand.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Protocol, final

from borough.clock import Clock
from borough.contracts.marks import contract, post
from borough.contracts.struct import Event, Key, Struct
from borough.services.data import Database, Transaction
from borough.services.handlers import on
from borough.services.projections import projection
from borough.services.service import Service

__all__ = ["HANDLERS", "Desk", "DeskService", "HallService", "Note", "Place"]

HANDLERS = ("hall.hear", "hall.tell", "hall.show")
"""Who hears of a note: with a transaction, without one, and as a projection."""
_A_MILLION = 1_000_000
_DESK_TABLES = (
    "create table if not exists notes (writer text not null, number bigint not null, "
    "primary key (writer, number))",
    "create table if not exists receipts (writer text not null)",
)
_HALL_TABLES = (
    "create table if not exists heard (writer text not null, number bigint not null, "
    "place bigint not null)",
    "create table if not exists shown (writer text not null, number bigint not null)",
)


class Note(Struct):
    """The `number`-th note of a `writer`."""

    writer: str
    number: int


class Place(Struct):
    """A note that was heard; a greater `place` was later."""

    writer: str
    number: int
    place: int


class Noted(Event):
    """A note is kept."""

    writer: Key[str]
    number: int


class Murmured(Event):
    """Something that nobody keeps."""


@contract("desk", version="1.0", publishes=[Noted, Murmured])
class Desk(Protocol):
    """Keeps notes and tells of them."""

    @post("/notes")
    async def keep(self, note: Note) -> Note:
        """Keep a note; the same note again is the same."""
        ...

    @post("/murmurs")
    async def murmur(self, times: int) -> int:
        """Tell so many times of nothing, all at once."""
        ...

    @post("/torn")
    async def tear(self, note: Note) -> Note:
        """Keep a note, tell of it, and then fail."""
        ...

    @post("/later")
    async def keep_for_later(self, note: Note, after_s: float) -> str:
        """Tell of a note later; returns the id of the event."""
        ...

    @post("/back")
    async def take_back(self, event_id: str) -> bool:
        """Not tell of it at all; returns whether there was still time."""
        ...

    @post("/receipts", idempotent_by="writer")
    async def receipt(self, writer: str) -> int:
        """Write a receipt; returns how many there are of this writer."""
        ...


async def _make(db: Database, tables: tuple[str, ...]) -> None:
    """Several processes may start at once; the tables of the office are no matter of migrations."""
    async with db.transaction() as tx:
        for table in tables:
            await tx.execute(table)


@final
class DeskService(Service, Desk):
    """Publishes."""

    db: Database

    async def open(self) -> None:
        await _make(self.db, _DESK_TABLES)

    async def keep(self, note: Note) -> Note:
        async with self.db.transaction() as tx:
            await _keep(tx, note)
        return note

    async def murmur(self, times: int) -> int:
        async with self.db.transaction() as tx:
            for _ in range(times):
                tx.publish(Murmured())
        return times

    async def tear(self, note: Note) -> Note:
        async with self.db.transaction() as tx:
            await _keep(tx, note)
            raise RuntimeError("torn")

    async def keep_for_later(self, note: Note, after_s: float) -> str:
        async with self.db.transaction() as tx:
            event = Noted(writer=note.writer, number=note.number)
            return tx.publish(event, after=timedelta(seconds=after_s))

    async def take_back(self, event_id: str) -> bool:
        async with self.db.transaction() as tx:
            return await tx.cancel(event_id)

    async def receipt(self, writer: str) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into receipts (writer) values ($1)", writer)
            count = await tx.one(int, "select count(*) from receipts where writer = $1", writer)
            return await tx.answer(count)


async def _keep(tx: Transaction, note: Note) -> None:
    sql = "insert into notes (writer, number) values ($1, $2) on conflict do nothing"
    if await tx.execute(sql, note.writer, note.number):
        tx.publish(Noted(writer=note.writer, number=note.number))


@final
class HallService(Service, name="hall"):
    """Hears. Writers in `sick` make `hear` fail, `listen` waits for `gate`.

    With a file `hold` in its folder `hear` does not end.
    """

    db: Database
    clock: Clock
    folder: Path

    async def open(self) -> None:
        await _make(self.db, _HALL_TABLES)
        self.sick: set[str] = set()
        self.gate = asyncio.Event()
        self._place = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._told = os.open(self.folder / "told", flags, 0o644)

    async def close(self) -> None:
        os.close(self._told)

    @on(Noted)
    async def hear(self, event: Noted, tx: Transaction) -> None:
        """With the transaction: exactly once."""
        await tx.execute(
            "insert into heard (writer, number, place) values ($1, $2, $3)",
            event.writer,
            event.number,
            self._next_place(),
        )
        if event.writer in self.sick:
            raise RuntimeError(f"{event.writer} makes me sick")
        if (self.folder / "hold").exists():
            (self.folder / "held").touch()
            await asyncio.Event().wait()

    def _next_place(self) -> int:
        """Greater than any before, in whichever process of this machine: a role may come back to one."""
        self._place = max(self._place + 1, int(self.clock.epoch_s() * _A_MILLION))
        return self._place

    @on(Noted)
    async def tell(self, event: Noted) -> None:
        """Outside of it: at least once."""
        os.write(self._told, f"{event.writer} {event.number}\n".encode())

    @on(Murmured)
    async def listen(self, event: Murmured) -> None:
        """As long as the gate is closed."""
        await self.gate.wait()

    @projection(Noted, tables=["shown"])
    async def show(self, event: Noted, tx: Transaction) -> None:
        """A table of its own, that can be made anew."""
        await tx.execute(
            "insert into shown (writer, number) values ($1, $2)", event.writer, event.number
        )
