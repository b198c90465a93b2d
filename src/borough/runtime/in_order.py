"""A subscription in the order of its events, over one whose broker gives them in any order.

Patience with a gap does not run while nobody reads: a slow handler, or a paused process, would pass
over what lies ready at the broker. Positions count what has passed here. A receipt of the broker is
handed back when all before it is done: what is held back or was never handled is delivered again
after a crash. What does not come in time is asked of its publisher, where that keeps the history.

A gap shows only where a later event has come. So the publisher is also asked how far the topic goes, at
the start and now and then: what a lost queue held at its end is owed as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from borough.clock import Clock
from borough.errors import BrokerError
from borough.ports import Delivery, Subscription
from borough.reliability.resequencing import Resequencer
from borough.runtime.history import AFTER_ALL, Past

__all__ = ["InOrder"]

_log = logging.getLogger("borough.events")

_SHORTEST_LOOK_S = 0.05
_PAST = -(1 << 62)
"""The receipt of what no broker has given."""
_LONGEST_LOOK_S = 1.0  # a process that is paused meanwhile has looked no longer than that
_ASK_EACH_S = 60.0
_ASK_AGAIN_S = 5.0
_ANSWER_S = 2.0  # meanwhile nothing is read


class InOrder:
    """A `Subscription` whose positions grow with the events' numbers. `last` is None for an unknown beginning."""

    def __init__(
        self,
        subscription: Subscription,
        name: str,
        last: int | None,
        clock: Clock,
        past: Past | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self._inner = subscription
        self._past = past
        self._name = name
        self._clock = clock
        self._resequencer: Resequencer[Delivery] = Resequencer(last, patience_s=patience_s)
        self._ready: deque[Delivery] = deque()
        self._receipts: deque[tuple[int, int]] = deque()
        self._passed = 0
        self._skipped = 0
        self._read_s = 0.0
        """How long has been read, with events held or owed: patience runs while it is looked, and only then."""
        self._ask_at = clock.monotonic()
        self._ask_again_s = _ASK_AGAIN_S
        self._has_asked = past is None
        self._end: int | None = None
        """The number of the topic's last event, as its publisher said."""
        self._end_due: float | None = None
        """When patience with what is owed up to there ends."""

    @property
    def position(self) -> int:
        """How many have been taken here."""
        return self._receipts[-1][0] if self._receipts else self._passed - len(self._ready)

    @property
    def missed(self) -> int:
        """What retention has removed, as the broker says."""
        return self._inner.missed

    @property
    def held(self) -> int:
        """How many wait for one before them."""
        return self._resequencer.held

    @property
    def at_hand(self) -> int:
        """How many were not taken yet, those that are held among them."""
        return len(self._ready) + self.held

    @property
    def is_level(self) -> bool:
        """Whether nothing is at hand that was not taken, or owed that has not come."""
        return self._has_asked and not self._ready and not self._is_owed

    @property
    def _is_owed(self) -> bool:
        """Whether the topic goes further than what has passed here."""
        last, end = self._resequencer.last, self._end
        return last is not None and end is not None and end > last

    async def take(self, limit: int) -> Sequence[Delivery]:
        """The next ones in order, at least one."""
        while not self._ready:
            due = self._resequencer.due
            is_over = due is not None and due <= self._read_s
            arrivals = await self._arrivals(limit, due)
            for delivery in arrivals:
                message = delivery.message
                self._pass(
                    self._resequencer.offer(
                        message.sequence, message.previous, delivery, self._read_s
                    )
                )
            if arrivals and self._end_due is not None:
                self._end_due = self._read_s + self._resequencer.patience_s
            if is_over and not arrivals:  # what is at hand is looked at first
                await self._end_patience()
            if not arrivals:
                await self._look_at_end()
            self._tell()
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def _arrivals(self, limit: int, due: float | None) -> Sequence[Delivery]:
        """What has come; nothing when the time to look has ended before."""
        dues = [each for each in (due, self._end_due) if each is not None]
        if not dues and self._past is None:
            return await self._inner.take(limit)
        look_s = _LONGEST_LOOK_S
        if dues:
            look_s = min(max(min(dues) - self._read_s, _SHORTEST_LOOK_S), _LONGEST_LOOK_S)
        if self._past is not None:
            until_asked_s = max(self._ask_at - self._clock.monotonic(), _SHORTEST_LOOK_S)
            look_s = min(look_s, until_asked_s) if dues else until_asked_s
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(look_s):
                return await self._inner.take(limit)
        except TimeoutError:
            return ()
        finally:
            if dues:
                self._read_s += min(self._clock.monotonic() - began, look_s)

    async def _look_at_end(self) -> None:
        """While nothing comes: learn how far the topic goes, and take from its publisher what is owed of it."""
        if self._past is None:
            return
        if self._clock.monotonic() >= self._ask_at:
            await self._ask(self._past)
        if self._end_due is not None and self._end_due <= self._read_s:
            await self._fill_end(self._past)

    async def _ask(self, past: Past) -> None:
        wait_s = _ASK_EACH_S
        try:
            async with asyncio.timeout(_ANSWER_S):
                _, self._end = await past.read(AFTER_ALL)
            self._ask_again_s = _ASK_AGAIN_S
        except (BrokerError, TimeoutError) as error:
            _log.debug("%s does not know how far its topic goes: %s", self._name, error)
            wait_s = self._ask_again_s
            self._ask_again_s = min(2 * wait_s, _ASK_EACH_S)
        self._ask_at = self._clock.monotonic() + wait_s
        self._has_asked = True
        if self._end_due is None and (self._is_owed or self._is_unknown):
            self._end_due = self._read_s + self._resequencer.patience_s

    @property
    def _is_unknown(self) -> bool:
        """Whether nothing tells where the reading begins, but where the topic ends is known."""
        return self._resequencer.last is None and self._end is not None

    async def _fill_end(self, past: Past) -> None:
        """What is owed has not come in time: take the next of it from its publisher.

        Where the beginning is not known nobody knows what is owed, and what follows the end that was told goes on.
        """
        self._end_due = None
        resequencer = self._resequencer
        if resequencer.held:
            self._end_due = self._read_s + resequencer.patience_s  # the gap is filled first
            return
        end = self._end or 0
        if resequencer.last is None:
            resequencer.last = end
            return
        if not self._is_owed:
            return
        last = resequencer.last
        try:
            events, _ = await past.read(last)
        except BrokerError as error:
            _log.warning("%s: %s", self._name, error)
            self._end_due = self._read_s + resequencer.patience_s
            return
        for event in events:
            self._pass(
                resequencer.offer(
                    event.sequence, event.previous, Delivery(event, _PAST), self._read_s
                )
            )
        if events:
            _log.warning(
                "%s: %d events that it is owed did not come and were taken from their publisher",
                self._name,
                len(events),
            )
            self._end_due = self._read_s  # there may be more
            return
        _log.error(
            "%s: events after %d, up to %d, did not come, and their publisher does not retain them any more",
            self._name,
            last,
            end,
        )
        resequencer.last = end

    async def _end_patience(self) -> None:
        """Pass over what has been waited for long enough; each gap is first asked for."""
        while (due := self._resequencer.due) is not None and due <= self._read_s:
            if not await self._fill_gap():
                self._pass(self._resequencer.expire(self._read_s))

    async def _fill_gap(self) -> bool:
        """Take what is missing from its publisher: a lost queue, or a reader that stands still with it.

        Returns whether any of it was found.
        """
        missing, past = self._resequencer.missing, self._past
        if past is None or missing is None:
            return False
        count, (last, next_held) = 0, missing
        try:
            while last < next_held - 1:
                events, _ = await past.read(last)
                lacking = [event for event in events if event.sequence < next_held]
                for event in lacking:
                    found = Delivery(event, _PAST)
                    self._pass(
                        self._resequencer.offer(event.sequence, event.previous, found, self._read_s)
                    )
                count += len(lacking)
                if not events or len(lacking) < len(events):
                    break
                last = events[-1].sequence
        except BrokerError as error:
            _log.warning("%s: %s", self._name, error)
        if count:
            _log.warning(
                "%s: %d events did not come in time and were taken from their publisher",
                self._name,
                count,
            )
        return count > 0

    def _pass(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._passed += 1
            self._receipts.append((self._passed, delivery.position))
            self._ready.append(Delivery(delivery.message, self._passed))

    def _tell(self) -> None:
        skipped = self._resequencer.skipped
        if skipped > self._skipped:
            self._skipped = skipped
            _log.error(
                "%s: an event is missing, or late by more than %.0f s; those behind it go on",
                self._name,
                self._resequencer.patience_s,
            )

    async def done(self, position: int) -> None:
        """All up to here is handled: their receipts are handed back."""
        while self._receipts and self._receipts[0][0] <= position:
            _, receipt = self._receipts.popleft()
            if receipt == _PAST:
                continue
            await self._inner.done(receipt)

    async def close(self) -> None:
        await self._inner.close()
