"""The connections of one process to one service's database: made when needed, bounded, and given in turn.

A connection that is lost is not given again, and whoever waited for it makes another one. Waiting ends
shortly before the deadline, so that the call is refused as one of which nothing has run, which may be
repeated, and is not cut off as one that may have run. While the server is away one of those who wait asks
for it, and ever more seldom: many would keep it from starting. A server may also refuse one more and be there
for those that it has: who asks takes what is given back meanwhile.

Room for a connection is taken before it is made, and handed on with a connection that is lost, so nobody who
comes just then makes one too many.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

from borough.clock import Clock
from borough.errors import StoreUnavailable
from borough.reliability.backoff import Backoff
from borough.stores.postgres.connection import Connection
from borough.stores.postgres.driver import asyncpg
from borough.stores.postgres.faults import LOST, WRONG_URL, connect_fault, is_wrong_url
from borough.stores.postgres.lookout import NEVER, Lookout
from borough.stores.postgres.options import PostgresLimits

__all__ = ["Pool"]

Turn = asyncio.Future[Connection | None]
"""What somebody waits for: a connection, or None, which lets it make one or ask for one."""
Connect = Callable[[float], Awaitable[Connection]]
"""Makes a connection within so many seconds."""

_AGAIN = Backoff(0.1, 0.5)
_REFUSAL_S = 0.25
_REFUSAL_SHARE = 0.1


class Pool:
    """Gives connections, and takes them back. `name` goes into what it says, and tells no password.

    `lookout` looks after all of them: who asks something of one may tell it when that is due.
    """

    def __init__(self, connect: Connect, name: str, clock: Clock, limits: PostgresLimits) -> None:
        self._connect = connect
        self._name = name
        self._clock = clock
        self._limits = limits
        self.lookout = Lookout(clock)
        self._idle: list[Connection] = []
        self._made = 0
        """Those that are there, and those that are being made."""
        self._waiting: deque[Turn] = deque()
        self._asking: deque[Turn] = deque()
        """Those who have room for one more, and would ask the server, or ask it again."""
        self._is_away = False
        self._is_asked = False
        self._closed = False
        self._empty = asyncio.Event()

    def try_take(self) -> Connection | None:
        """A connection that is free now; None where there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            self.lookout.forget(connection)
            self._make_room()
        return None

    async def take(self, deadline: float) -> Connection:
        """A connection on which no transaction is open. Raises `StoreUnavailable` shortly before the deadline."""
        if self._closed:
            raise StoreUnavailable(f"{self._name} is being closed")
        connection = self.try_take()
        if connection is not None:
            return connection
        left_s = deadline - self._clock.monotonic()
        until = deadline - max(0.0, min(_REFUSAL_S, left_s * _REFUSAL_SHARE))
        if left_s <= 0:
            raise self._unreached()
        if self._made < self._limits.connections:
            self._made += 1
            return await self._make(until)
        return await self._wait(until)

    async def _wait(self, until: float) -> Connection:
        if len(self._waiting) >= self._limits.waiting:
            raise StoreUnavailable(
                f"{len(self._waiting)} wait for a connection to {self._name} already"
            )
        turn = self._stand(self._waiting)
        try:
            async with asyncio.timeout(until - self._clock.monotonic()):
                connection = await turn
        except BaseException as error:
            if self._leave(self._waiting, turn):
                self._make_room()
            if isinstance(error, TimeoutError):
                raise StoreUnavailable(
                    f"no connection to {self._name} could be had in time; all "
                    f"{self._limits.connections} are in use"
                ) from None
            raise
        if connection is None:  # a lost one has made room
            return await self._make(until)
        return connection

    def _stand(self, line: deque[Turn]) -> Turn:
        turn: Turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        return turn

    def _leave(self, line: deque[Turn], turn: Turn) -> bool:
        """Whoever waited has gone; a connection given meanwhile goes on to the next. True where that was None."""
        if not turn.done() or turn.cancelled():
            # Who gave one back in the same turn of the loop may have passed it over already.
            with suppress(ValueError):
                line.remove(turn)
        elif turn.exception() is None:
            given = turn.result()
            if given is None:
                return True
            self.give_back(given)
        return False

    async def _make(self, until: float) -> Connection:
        """Make a connection, for which there is room. Raises `StoreUnavailable` where that takes too long."""
        try:
            if not self._is_away:
                try:
                    return await self._try(until)
                except StoreUnavailable:
                    if not self._is_away:  # its time was up before
                        raise
            connection, is_given = await self._ask_in_turn(until)
        except BaseException:
            self._make_room()
            raise
        if is_given:
            self._make_room()
        return connection

    async def _ask_in_turn(self, until: float) -> tuple[Connection, bool]:
        """A connection, and whether another gave it back: the others wait for the one who asks."""
        given = self.try_take()
        if given is None and self._is_asked:
            turn = self._stand(self._asking)
            try:
                async with asyncio.timeout(until - self._clock.monotonic()):
                    given = await turn
            except BaseException as error:
                if self._leave(self._asking, turn):
                    self._next_asks()
                if isinstance(error, TimeoutError):
                    raise self._unreached() from None
                raise
        if given is not None:
            return given, True
        self._is_asked = True
        try:
            return await self._ask(until)
        finally:
            self._next_asks()

    async def _ask(self, until: float) -> tuple[Connection, bool]:
        """Ask until the server is there, or another gives one back, or it is too late."""
        failures = 0
        while True:
            try:
                connection = await self._try(until)
            except StoreUnavailable:
                failures += 1
                again_s = _AGAIN.delay_s(failures, self._clock.random.random())
                if until - self._clock.monotonic() < again_s:
                    given = self.try_take()
                    if given is None:
                        raise
                else:
                    given = self.try_take() or await self._rest(again_s)
                if given is not None:
                    return given, True
            else:
                self._is_away = False
                return connection, False

    async def _rest(self, seconds: float) -> Connection | None:
        """What is given back meanwhile: who asks is the first to get it."""
        turn: Turn = asyncio.get_running_loop().create_future()
        self._asking.appendleft(turn)
        try:
            async with asyncio.timeout(seconds):
                return await turn
        except BaseException as error:
            self._leave(self._asking, turn)
            if isinstance(error, TimeoutError):
                return None
            raise

    def _next_asks(self) -> None:
        self._is_asked = _give(self._asking, None)

    async def _try(self, until: float) -> Connection:
        left_s = until - self._clock.monotonic()
        if left_s <= 0:
            raise self._unreached()
        try:
            connection = await self._connect(min(left_s, self._limits.connect_s))
        except (*LOST, *WRONG_URL, asyncpg.PostgresError) as error:
            fault = connect_fault(error, self._name)
            self._is_away = self._is_away or isinstance(fault, StoreUnavailable)
            if is_wrong_url(error):
                raise fault from None
            raise fault from error
        self.lookout.add(connection)
        return connection

    def _unreached(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._name} could not be reached in time")

    def _make_room(self) -> None:
        """One connection less: the first who waits may make another one in its place."""
        if not _give(self._waiting, None):
            self._made -= 1
            self._look_empty()

    def give_back(self, connection: Connection) -> None:
        """Take a connection back, for whoever is next."""
        connection.due = NEVER
        if not connection.is_usable() or self._closed:
            self.lose(connection)
        elif not _give(self._asking, connection) and not _give(self._waiting, connection):
            self._idle.append(connection)

    def lose(self, connection: Connection) -> None:
        """Take a connection back that is of no more use."""
        self.lookout.forget(connection)
        connection.give_up()
        self._make_room()

    def renew(self) -> None:
        """There are Borough's tables now: who was connected before does not know its incarnation."""
        idle, self._idle = self._idle, []
        for connection in idle:
            if connection.incarnation is None:
                self.lose(connection)
            else:
                self._idle.append(connection)

    def _look_empty(self) -> None:
        if self._closed and self._made == 0:
            self._empty.set()

    async def close(self) -> None:
        """Wait for those in use, for a while, and close all. Who waits for one is refused.

        Whoever is cancelled waits no more: what is idle is then closed at once.
        """
        self._closed = True
        for turn in (*self._asking, *self._waiting):
            if not turn.done():
                turn.set_exception(StoreUnavailable(f"{self._name} is being closed"))
        self._asking.clear()
        self._waiting.clear()
        idle, self._idle = self._idle, []
        try:
            while idle:
                connection = idle.pop()
                self.lookout.forget(connection)
                self._made -= 1
                await connection.close(self._limits.rollback_s)
        finally:
            for connection in idle:
                self.lose(connection)
        self._look_empty()
        try:
            async with asyncio.timeout(self._limits.wait_s):
                await self._empty.wait()
        except TimeoutError:
            return  # whoever holds one still gives it back, and it is closed then


def _give(line: deque[Turn], given: Connection | None) -> bool:
    """Give it to the first who still waits; False where nobody does."""
    while line:
        turn = line.popleft()
        if not turn.done():
            turn.set_result(given)
            return True
    return False
