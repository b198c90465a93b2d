"""The one writer of a database: bodies take turns, and share a COMMIT.

A group is BEGIN IMMEDIATE under the baton, one savepoint per body, the events they publish, COMMIT.
All of it runs on the event loop except the COMMIT with its fsync and what is slow, which the worker
runs: until it ends the connection is the worker's. `_body` has the turn, `_members` are done and await the COMMIT,
`_line` has who waits. A group closes when nobody is ready to join, or at its limits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import TypeVar

import apsw

from borough.clock import Clock
from borough.errors import CommitFailed, StoreError, StoreUnavailable, TransactionConflict
from borough.ports import OutboxRow, ScheduledRow
from borough.stores.schema import INSERT_OUTBOX, INSERT_SCHEDULED, INSERT_SEVERAL, SEVERAL
from borough.stores.sqlite.baton import Baton
from borough.stores.sqlite.connection import BODY, Connection
from borough.stores.sqlite.faults import commit_fault, unusable
from borough.stores.sqlite.line import Body, Line
from borough.stores.sqlite.options import SqliteOptions
from borough.stores.sqlite.watch import Watch
from borough.stores.sqlite.worker import Worker

__all__ = ["Writer"]

T = TypeVar("T")
_EVENTS_ON_LOOP = 512  # some 2 us each
_FIRST_POLL_S = 0.0005
_LAST_POLL_S = 0.005
_LOOK_S = 1.0  # what was written into a file that is gone is lost: for no longer than that
_BEGIN = f"savepoint {BODY}"
_RELEASE = f"release {BODY}"
_ROLLBACK = f"rollback to {BODY}"


class Writer:
    """Gives turns, runs groups. One per store; all methods are called on the event loop."""

    def __init__(
        self,
        path: str,
        connection: Connection,
        baton: Baton,
        worker: Worker,
        clock: Clock,
        options: SqliteOptions,
        is_calls: Callable[[], bool],
    ) -> None:
        """`is_calls` says whether the deadline of what runs at the moment is a call's."""
        self.connection = connection
        self.worker = worker
        self.is_calls = is_calls
        self._path = path
        self._baton = baton
        self.monotonic = clock.monotonic
        self.options = options
        self._clock = clock
        self.loop = asyncio.get_running_loop()
        self._line = Line(path, clock)
        self._members: list[Body] = []
        self._body: Body | None = None
        self._open = False  # BEGIN has been, COMMIT not yet
        self._away = False  # the connection is the worker's, or an exclusive turn's
        self._ending = False
        self._age_limit = 0.0
        self._moved_pages = 0  # of the WAL, at the last checkpoint
        self._poll: asyncio.TimerHandle | None = None
        self._poll_s = _FIRST_POLL_S
        self._seen_at = -math.inf  # where it was opened
        self.watch = Watch(self.loop, clock, options.body_s, lambda: self._body, self._expire)
        self._page_bytes = int(connection.control("pragma page_size"))
        self._closing = False

    # --- taking and giving turns ------------------------------------------------------------------

    def try_enter(self, body: Body, now: float) -> bool:
        """Take the turn at once, if it is free. Raises `StoreUnavailable` where BEGIN fails."""
        if self._body is not None or self._away or self._line.turns or self._closing:
            return False
        if not self._open:
            if not self._begin():
                return False
        elif len(self._members) >= self.options.group_size or now >= self._age_limit:
            return False
        self._admit(body, now)
        return True

    async def enter(self, body: Body | None, deadline: float) -> None:
        """Stand in line until the turn comes. Raises `StoreUnavailable`; then nothing has run."""
        if self._closing:
            raise StoreUnavailable(f"{self._path} is being closed")
        if len(self._line.turns) >= self.options.waiting_bodies:
            raise StoreUnavailable(
                f"{len(self._line.turns)} transactions wait for {self._path} already"
            )
        await self._stand_in_line(body, deadline)

    async def _stand_in_line(self, body: Body | None, deadline: float) -> None:
        turn = self._line.join(body, deadline)
        self._go_on()
        try:
            await turn.future
        except BaseException:  # cancelled; the turn may have come meanwhile
            if turn.given:
                self._give_back(body)
            else:
                self._line.leave(turn)
            raise
        if turn.failure is not None:
            raise turn.failure

    def _give_back(self, body: Body | None) -> None:
        if body is None:
            self.leave_exclusive()
        else:
            self.leave_undone(body)

    def leave_done(self, body: Body) -> None:
        """The body has ended well: it joins the group, whose COMMIT will settle it.

        Raises what the engine says; the body then has no part in the group.
        """
        connection = self.connection
        connection.until = math.inf
        try:
            connection.mark(_RELEASE)
        except apsw.Error:
            self.leave_undone(body)
            raise
        self._body = None
        self._members.append(body)
        if self._line.turns or not self._ending:
            self._go_on()

    def leave_undone(self, body: Body) -> None:
        """The body has failed: only its own part is undone."""
        if self._body is not body:  # it has expired, or its group is gone
            return
        self._body = None
        self._undo_body()
        self._go_on()

    def _undo_body(self) -> None:
        connection = self.connection
        connection.until = math.inf
        try:
            connection.mark(_ROLLBACK)
            connection.mark(_RELEASE)
        except apsw.Error as error:
            self._lose_group(commit_fault(error))

    def check_group(self, error: BaseException) -> bool:
        """After a failed statement: whether the group still stands. If not, its members fail."""
        if self.connection.in_transaction:
            return True
        self._body = None
        if isinstance(error, (apsw.InterruptError, apsw.ConstraintError)):
            failure: StoreError = TransactionConflict(
                "another transaction of the same commit was ended; this one may be run again"
            )
        else:
            failure = commit_fault(error)
        self._lose_group(failure)
        return False

    def _lose_group(self, failure: StoreError) -> None:
        if self.connection.in_transaction:
            with suppress(apsw.Error):  # then the next BEGIN tries again
                self.connection.control("rollback")
        self._end_group(failure)
        self._baton.drop()
        self._go_on_later()

    # --- groups -----------------------------------------------------------------------------------

    def _takes_more(self, now: float) -> bool:
        return len(self._members) < self.options.group_size and now < self._age_limit

    def _admit(self, body: Body, now: float) -> None:
        connection = self.connection
        connection.until = math.inf
        try:
            connection.mark(_BEGIN)
        except apsw.Error as error:
            self._lose_group(commit_fault(error))
            raise StoreUnavailable(unusable(self._path, error)) from error
        body.begun = now
        self._body = body
        watch = self.watch
        body.late_before_s = watch.late_s
        if not watch.looks:
            watch.begin()

    def _begin(self) -> bool:
        if self._is_wal_full():
            self._shrink_wal()
            return False
        now = self.monotonic()
        if now - self._seen_at >= _LOOK_S:
            self._look_for_file(now)
        if not self._baton.try_take():
            self._poll_soon()
            return False
        try:
            if self.connection.in_transaction:  # a rollback has failed before
                self.connection.control("rollback")
            self.connection.control("begin immediate")
        except apsw.BusyError:  # a program without the baton, such as the sqlite3 shell
            self._baton.drop()
            self._poll_soon()
            return False
        except apsw.Error as error:
            self._baton.drop()
            raise StoreUnavailable(unusable(self._path, error)) from error
        self._stop_polling()
        self._open = True
        self._age_limit = now + self.options.group_age_s
        return True

    def _look_for_file(self, now: float) -> None:
        if self.connection.has_moved():
            raise StoreUnavailable(
                f"{self._path} is not the file any more that was opened, but was moved, removed or replaced, and "
                "what is written would be lost; put it back, or start anew on what is there"
            )
        self._seen_at = now

    def _go_on(self) -> None:
        """The turn is free, or somebody has come: admit the next, or end the group."""
        if self._body is not None or self._away:
            return
        turns = self._line.turns
        if not self._open:
            if turns:
                self._start()
        elif turns:
            if turns[0].body is not None and self._takes_more(self.monotonic()):
                self._give_turn()
            else:
                self._end()
        elif not self._ending:
            # Who is ready to join does so before that; the group's limits are looked at then.
            self._ending = True
            self.loop.call_soon(self._end_if_idle)

    def _go_on_later(self) -> None:
        self.loop.call_soon(self._go_on)

    def _end_if_idle(self) -> None:
        self._ending = False
        if self._open and self._body is None and not self._away:
            self._end()

    def _start(self) -> None:
        try:
            if self._line.turns[0].body is None:
                self._start_exclusive()
            elif self._begin():
                self._give_turn()
        except StoreError as error:
            self._stop_polling()
            self._line.refuse_all(error)

    def _give_turn(self) -> None:
        turn = self._line.turns.popleft()
        assert turn.body is not None
        try:
            self._admit(turn.body, self.monotonic())
        except StoreError as error:
            turn.refuse(error)
        else:
            turn.give()

    def _end(self) -> None:
        if not self._members:
            try:
                self.connection.control("rollback")
            except apsw.Error as error:
                self._lose_group(commit_fault(error))
                return
            self._open = False
            self._baton.drop()
            self._go_on_later()
            return
        events = [row for body in self._members for row in body.outbox]
        later = [row for body in self._members if body.scheduled for row in body.scheduled]
        if 0 < len(events) + len(later) <= _EVENTS_ON_LOOP:
            try:
                self._insert_events(events, later)
            except apsw.Error as error:
                self._lose_group(commit_fault(error))
                return
            events, later = [], []
        self._away = True
        self.worker.submit(partial(self._commit, events, later), self._committed)

    def _insert_events(self, events: list[OutboxRow], later: list[ScheduledRow]) -> None:
        """Put all events of the group into the outbox, where their numbers follow one another.

        Those for later go where they wait.
        """
        connection = self.connection
        if events:
            sequence = _put(connection, events) - len(events)
            for body in self._members:
                sequence += len(body.outbox)
                body.sequence = sequence
        if later:
            connection.insert_many(INSERT_SCHEDULED, later)

    def _commit(self, events: list[OutboxRow], later: list[ScheduledRow]) -> bool:
        """In the worker. Returns whether a checkpoint is due; then the baton is still held."""
        connection = self.connection
        due = False
        try:
            if events or later:
                self._insert_events(events, later)
            connection.control("commit")
            due = self._is_checkpoint_due()
        except BaseException:
            if connection.in_transaction:
                with suppress(apsw.Error):  # then the next BEGIN tries again
                    connection.control("rollback")
            raise
        finally:
            if not due:
                self._baton.drop()
        return due

    def _committed(self, due: bool | None, error: BaseException | None) -> None:
        self._end_group(None if error is None else commit_fault(error))
        if due:
            self.worker.submit(self._checkpoint, self._checkpointed)
        else:
            self._away = False
            self._go_on()

    def _end_group(self, failure: StoreError | None) -> None:
        members, self._members = self._members, []
        self._open = False
        for body in members:
            body.settle(failure)

    # --- the WAL ----------------------------------------------------------------------------------

    def _is_checkpoint_due(self) -> bool:
        pages = self.connection.wal_pages
        if pages < self._moved_pages:  # the WAL has started anew
            self._moved_pages = 0
        return (pages - self._moved_pages) * self._page_bytes >= self.options.checkpoint_bytes

    def _is_wal_full(self) -> bool:
        return self.connection.wal_pages * self._page_bytes >= self.options.wal_bytes

    def _shrink_wal(self) -> None:
        """Readers of old states keep the WAL; until they are gone nobody writes."""
        if self._baton.try_take():
            self._away = True
            self.worker.submit(self._empty_wal, self._shrunk)
        else:
            self._poll_soon()

    def _checkpoint(self) -> None:
        """In the worker, under the baton, between groups."""
        try:
            self.connection.checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            self._moved_pages = self.connection.wal_pages
        finally:
            self._baton.drop()

    def _empty_wal(self) -> None:
        """In the worker, under the baton: the same, and cut the file."""
        try:
            self.connection.checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._baton.drop()

    def _checkpointed(self, _nothing: None, _error: BaseException | None) -> None:
        # A failed checkpoint loses nothing; the next group tries again, the WAL's bound holds.
        self._away = False
        self._go_on()

    def _shrunk(self, _nothing: None, error: BaseException | None) -> None:
        self._away = False
        if error is not None:  # waiting for readers would not help
            self._stop_polling()
            self._line.refuse_all(StoreUnavailable(unusable(self._path, error)))
        elif self._is_wal_full():
            self._poll_soon()
        else:
            self._go_on()

    # --- work that wants the connection alone -----------------------------------------------------

    def _start_exclusive(self) -> None:
        if not self._baton.try_take():
            self._poll_soon()
            return
        self._stop_polling()
        self._away = True
        self._line.turns.popleft().give()

    def leave_exclusive(self) -> None:
        """End an exclusive turn."""
        self._baton.drop()
        self._away = False
        self._go_on()

    async def alone(self, work: Callable[[Connection], T], deadline: float) -> T:
        """Run `work` in the worker, between groups and under the baton."""
        await self.enter(None, deadline)
        try:
            return await self.worker.run(lambda: work(self.connection))
        finally:
            self.leave_exclusive()

    # --- time -------------------------------------------------------------------------------------

    def _poll_soon(self) -> None:
        """Come back for the baton. Short waits, longer each time, not all processes at once."""
        if self._poll is None:
            wait = self._poll_s * (0.5 + self._clock.random.random())
            self._poll_s = min(self._poll_s * 1.5, _LAST_POLL_S)
            self._poll = self.loop.call_later(wait, self._poll_now)

    def _poll_now(self) -> None:
        self._poll = None
        if self._line.turns:
            self._go_on()
        else:
            self._stop_polling()

    def _stop_polling(self) -> None:
        self._poll_s = _FIRST_POLL_S
        self._baton.leave_line()
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def _expire(self, body: Body) -> None:
        self._body = None
        self._undo_body()
        body.expire()
        self._go_on()

    # --- the end ----------------------------------------------------------------------------------

    def _abandon_group(self) -> None:
        """There was no time for it: nothing of an open group is kept."""
        body = self._body
        if self._open and not self._away and not (body is not None and body.busy):
            self._body = None
            self._lose_group(CommitFailed(f"{self._path} was closed before the commit"))
            if body is not None:
                body.expire()

    async def finish(self, deadline: float) -> bool:
        """Take no new turns and let those in line end; the connection is then free to be closed.

        Returns whether the baton could be had in time; it is then held.
        """
        self._closing = True
        held = True
        try:
            await self._stand_in_line(None, deadline)
        except StoreUnavailable:
            held = False
            self._abandon_group()
        self._line.refuse_all(StoreUnavailable(f"{self._path} is being closed"))
        self._line.close()
        self._stop_polling()
        self.watch.stop()
        return held


def _put(connection: Connection, events: list[OutboxRow]) -> int:
    """Insert events, most of them several at a time; returns the number of the last one."""
    alone = len(events) % SEVERAL
    last = connection.insert_many(INSERT_OUTBOX, events[:alone]) if alone else 0
    starts = range(alone, len(events), SEVERAL)
    if starts:
        rows = [tuple(chain.from_iterable(events[start : start + SEVERAL])) for start in starts]
        last = connection.insert_many(INSERT_SEVERAL, rows)
    return last
