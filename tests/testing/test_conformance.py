"""The conformance suites see wrong adapters: each planted fault breaks a promise by its name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from borough.brokers.memory import MemoryBroker
from borough.clock import SystemClock
from borough.errors import BrokerError, StoreError
from borough.ports import Broker, Delivery, Message, Store
from borough.stores.sqlite import SqliteStore
from borough.testing.conformance import (
    BrokerConformance,
    StoreConformance,
    Verdict,
    run_conformance,
)


def broken(verdicts: Sequence[Verdict]) -> set[str]:
    return {verdict.test for verdict in verdicts if verdict.error is not None}


# --- stores -----------------------------------------------------------------------------------------


class Wrapped:
    """A store or broker like the one inside."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class ForgetsRollbacks(Wrapped):
    """Commits what a body has done, although it raised."""

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        block = self.inner.transaction(companion)
        tx = await block.__aenter__()
        try:
            yield tx
        finally:
            await block.__aexit__(None, None, None)


class LetsBodiesInterleave(Wrapped):
    """Each statement is a transaction of its own."""

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        yield EachAlone(self.inner)


class EachAlone:
    """Statements, one transaction each."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def run(*arguments: Any) -> Any:
            async with self._store.transaction() as tx:
                return await getattr(tx, name)(*arguments)

        return run


class LosesCommits(Wrapped):
    """Undoes every seventh body, and says that it is kept."""

    count = 0

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        LosesCommits.count += 1
        block = self.inner.transaction(companion)
        tx = await block.__aenter__()
        try:
            yield tx
        except BaseException as error:
            await block.__aexit__(type(error), error, error.__traceback__)
            raise
        if LosesCommits.count % 7:
            await block.__aexit__(None, None, None)
        else:
            lost = KeyError()
            await block.__aexit__(KeyError, lost, None)


class AcknowledgesEarly(Wrapped):
    """Lets the body go before its commit, which comes a little later."""

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        entered: asyncio.Future[Any] = loop.create_future()
        left = loop.create_future()
        self.held = asyncio.ensure_future(self._hold(companion, entered, left))
        try:
            yield await entered
        except BaseException as error:
            left.set_exception(error)
            raise
        left.set_result(None)

    async def _hold(
        self, companion: Any, entered: asyncio.Future[Any], left: asyncio.Future[None]
    ) -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            async with self.inner.transaction(companion) as tx:
                entered.set_result(tx)
                await left
                await asyncio.sleep(0.02)


class ForgetsEvents(Wrapped):
    """Commits the rows without what was published."""

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        async with self.inner.transaction(companion) as tx:
            yield tx
            tx.outbox.clear()


class SwallowsFailures(Wrapped):
    """Commits what is left of a body in which a statement has failed."""

    @contextlib.asynccontextmanager
    async def transaction(self, companion: Any = None) -> AsyncIterator[Any]:
        async with self.inner.transaction(companion) as tx:
            yield Forgiving(tx)


class Forgiving(Wrapped):
    """A transaction whose statements are each in a savepoint."""

    async def execute(self, sql: str, /, *arguments: Any) -> int:
        async with self.inner.savepoint():
            changed: int = await self.inner.execute(sql, *arguments)
        return changed


class HasNoSnapshots(Wrapped):
    """Reads of a snapshot see each the last commit."""

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Any]:
        yield self.inner


class BindsInOrder(Wrapped):
    """Binds parameters in the order in which they stand in the text."""

    async def one(self, kind: Any, sql: str, /, *arguments: Any) -> Any:
        return await self.inner.one(kind, sql.replace("$2", "$1", 1), *arguments)


WRONG_STORES = [
    (ForgetsRollbacks, "test_a_body_that_raises_leaves_nothing"),
    (LetsBodiesInterleave, "test_bodies_are_serializable"),
    (LosesCommits, "test_a_committed_body_is_seen_by_another_process_at_once"),
    (AcknowledgesEarly, "test_a_committed_body_is_seen_by_another_process_at_once"),
    (ForgetsEvents, "test_events_commit_with_the_body_in_their_order"),
    (SwallowsFailures, "test_a_failed_statement_that_is_swallowed_commits_nothing"),
    (HasNoSnapshots, "test_a_snapshot_is_one_state"),
    (BindsInOrder, "test_parameters_are_bound_by_number"),
]


@pytest.mark.parametrize(("wrong", "promise"), WRONG_STORES)
async def test_a_wrong_store_is_seen(wrong: Callable[[Any], Any], promise: str) -> None:
    class Suite(StoreConformance):
        async def make_store(self, folder: Path) -> Store:
            made: Store = wrong(SqliteStore(folder / "shop.db", clock=SystemClock()))
            return made

    suite = Suite()
    error = await asyncio.gather(getattr(suite, promise)(), return_exceptions=True)
    assert isinstance(error[0], (AssertionError, StoreError)), error


# --- brokers ----------------------------------------------------------------------------------------


class Drops(MemoryBroker):
    """Forgets every fourth event of a publish."""

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish([m for n, m in enumerate(messages, 1) if n % 4])


class Reorders(MemoryBroker):
    """Turns the events of a publish around."""

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages[::-1])


class ForgetsPositions(MemoryBroker):
    """Begins every reading at the beginning."""

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return await super().subscribe(group, topic, 0)


class MixesTopics(MemoryBroker):
    """Has one topic for all."""

    def _topic(self, name: str) -> Any:
        return super()._topic("all")


class TakesAnyLength(MemoryBroker):
    """Cuts off what is too long."""

    async def publish(self, messages: Sequence[Message]) -> None:
        cut = [Message(m.id, m.topic, m.type, m.key, m.sequence, m.body[:9]) for m in messages]
        await super().publish(cut)


class SharesReadings(MemoryBroker):
    """Gives each event to one group only."""

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        self.first = getattr(self, "first", None) or await super().subscribe(group, topic, position)
        return self.first


class LosesWhatIsCancelled(MemoryBroker):
    """Reads ahead, and forgets it when the reader is cancelled."""

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return Ahead(await super().subscribe(group, topic, position))


class Ahead(Wrapped):
    """A reading that pauses between the event and its reader."""

    async def take(self, limit: int) -> Sequence[Delivery]:
        found: Sequence[Delivery] = await self.inner.take(limit)
        await asyncio.sleep(0.001)
        return found


class ServesWhoGaveUp(MemoryBroker):
    """Gives events to readings whose beginning was cancelled."""

    given_up = 0

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return await super().subscribe(group, topic, position)

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages[self.given_up :])


class ServesWhoWasClosing(ServesWhoGaveUp):
    """Gives events to readings whose closing was cancelled."""

    async def subscribe(self, group: str, topic: str, position: int) -> Any:
        return Closing(self, await MemoryBroker.subscribe(self, group, topic, position))


class Closing(Wrapped):
    """A reading whose closing takes a moment."""

    def __init__(self, broker: ServesWhoGaveUp, inner: Any) -> None:
        super().__init__(inner)
        self.broker = broker

    async def close(self) -> None:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.broker.given_up += 1
            raise
        await self.inner.close()


class KeepsReading(MemoryBroker):
    """Leaves its readers waiting when it is closed."""

    async def close(self) -> None:
        self._open = False


class RefusesRepeats(MemoryBroker):
    """Takes an id that comes again for an error."""

    async def publish(self, messages: Sequence[Message]) -> None:
        known = {i for topic in self._topics.values() for i in topic.ids}
        if any(message.id in known for message in messages):
            raise BrokerError("this was published before")
        await super().publish(messages)


class TrimsTooMuch(MemoryBroker):
    """Removes whatever is there."""

    async def trim(self, topic: str, retention: Any, now_s: float) -> Any:
        self._topic(topic).events.clear()


class Forgets(MemoryBroker):
    """Says that it lasts, and does not."""


WRONG_BROKERS = [
    (Drops, "test_messages_come_back_whole", False),
    (Reorders, "test_messages_come_in_the_order_of_publishing", False),
    (ForgetsPositions, "test_a_reading_goes_on_where_it_was", False),
    (ForgetsPositions, "test_a_new_handler_starts_at_the_end", False),
    (MixesTopics, "test_topics_are_read_apart", False),
    (TakesAnyLength, "test_the_longest_event_is_carried_and_a_longer_one_refused", False),
    (SharesReadings, "test_every_group_gets_every_message", False),
    (LosesWhatIsCancelled, "test_a_cancelled_reader_loses_nothing", False),
    (ServesWhoGaveUp, "test_a_reading_that_was_given_up_as_it_began_takes_nothing", False),
    (ServesWhoWasClosing, "test_a_reading_whose_closing_was_cancelled_takes_nothing", False),
    (KeepsReading, "test_a_closed_broker_ends_its_readers_and_takes_nothing", False),
    (RefusesRepeats, "test_publishing_again_is_harmless", False),
    (TrimsTooMuch, "test_a_trim_removes_nothing_that_is_retained", False),
    (Forgets, "test_what_was_published_outlives_the_broker", True),
]


@pytest.mark.parametrize(("wrong", "promise", "says_it_lasts"), WRONG_BROKERS)
async def test_a_wrong_broker_is_seen(
    wrong: type[MemoryBroker], promise: str, says_it_lasts: bool
) -> None:
    class Suite(BrokerConformance):
        lasts = says_it_lasts
        patience_s = 0.5

        async def make_broker(self, folder: Path) -> Broker:
            return wrong(SystemClock())

    error = await asyncio.gather(getattr(Suite(), promise)(), return_exceptions=True)
    assert isinstance(error[0], (AssertionError, BrokerError)), error


# --- running without a test framework ---------------------------------------------------------------


class Mixed:
    """A suite of which one promise is broken and one never ends."""

    async def test_a(self) -> None:
        """Kept."""

    async def test_b(self) -> None:
        raise AssertionError("it is broken")

    async def test_c(self) -> None:
        await asyncio.Event().wait()


async def test_a_suite_runs_without_a_framework_and_says_how_each_test_ended() -> None:
    said: list[str] = []
    verdicts = await run_conformance(Mixed(), said.append, patience_s=0.05)
    assert broken(verdicts) == {"test_b", "test_c"}
    assert said[0] == "kept    test_a"
    assert said[1] == "BROKEN  test_b: AssertionError: it is broken"
    assert said[-1] == "1 of 3 promises kept"
