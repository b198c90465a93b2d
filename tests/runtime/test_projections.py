"""A projection shows all that its topic retains, can be made anew, and can be waited for."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough import Service, System
from borough.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    TransactionConflict,
    TransactionMisuse,
)
from borough.reliability.position import position_of, read_position
from borough.runtime.generations import rebuild
from borough.testing import ManualClock, Mode, start
from borough.testing.running import Running
from tests.modes import IN_ONE_PROCESS
from tests.runtime.market import (
    HearingService,
    Market,
    MarketService,
    Noise,
    PriceChanged,
    Search,
    search,
    shown,
)

QUICK: dict[str, Any] = {"events.lease_s": 0.3}


def market(*others: type[Service]) -> System:
    return System([MarketService, *others])


async def set_prices(running: Running, *prices: tuple[str, int]) -> str:
    position = ""
    for item, cents in prices:
        position = await running.client(Market).set_price(item, cents)
    await running.quiet()
    return position


async def test_a_new_projection_begins_with_the_earliest_event(tmp_path: Path) -> None:
    async with start(market(), data=tmp_path) as running:
        await set_prices(running, ("nut", 1), ("nut", 2), ("bolt", 5))
    async with start(market(search()), data=tmp_path) as running:
        await running.quiet()
        assert await shown(running.database("search")) == {"nut": (2, 2), "bolt": (5, 1)}
        await set_prices(running, ("nut", 3))
        assert await shown(running.database("search")) == {"nut": (3, 3), "bolt": (5, 1)}
    async with start(market(search()), data=tmp_path) as running:
        await running.quiet()
        assert await shown(running.database("search")) == {"nut": (3, 3), "bolt": (5, 1)}


async def test_another_generation_in_the_code_makes_it_anew(tmp_path: Path) -> None:
    async with start(market(search()), data=tmp_path) as running:
        await set_prices(running, ("nut", 1), ("nut", 2))
    for generation, factor in ((2, 10), (1, 1), (7, 100)):
        async with start(market(search(generation, factor)), data=tmp_path) as running:
            await running.quiet()
            db = running.database("search")
            assert await shown(db) == {"nut": (2 * factor, 2)}
            declared = await db.one(int, "select declared from borough_generations")
            assert declared == generation
    async with start(market(search(7)), data=tmp_path) as running:
        await set_prices(running, ("nut", 4))
        assert await shown(running.database("search")) == {"nut": (4, 3)}


async def test_a_projection_that_is_made_of_more_says_once_that_the_past_is_not_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more: dict[str, Any] = {"events": (PriceChanged, Noise), "tables": ("prices", "noises")}
    for release in (
        search(),
        search(),
        search(**more),
        search(**more),
        search(),
        search(2, **more),
    ):
        async with start(market(release), data=tmp_path) as running:
            await set_prices(running, ("nut", 1))
    assert caplog.messages == [
        "search.prices is made of more than it was (market.Market.Noise, noises), and goes on where it is: what was "
        "published before is not in that; write generation=2 in its mark to make it anew"
    ]


async def test_a_rebuild_fences_the_running_consumer_and_goes_on(tmp_path: Path) -> None:
    async with start(market(search()), data=tmp_path, settings=QUICK) as running:
        await set_prices(running, *[(f"item {n % 7}", n) for n in range(50)])
        db = running.database("search")
        before = await shown(db)
        async with db.transaction() as tx:
            await tx.execute("update prices set cents = 0")
        await running.rebuild("search.prices")
        await set_prices(running, ("last", 1))
        assert await shown(db) == {**before, "last": (1, 1)}
        assert await db.one(int, "select generation from borough_generations") == 2


async def test_rebuilds_under_traffic_lose_and_double_nothing(tmp_path: Path) -> None:
    async with start(market(search()), data=tmp_path, settings=QUICK) as running:
        client = running.client(Market)
        for round_ in range(4):
            rebuilding = asyncio.create_task(running.rebuild("search.prices"))
            await asyncio.gather(*(client.set_price(f"item {n}", round_) for n in range(40)))
            await rebuilding
        await running.quiet(30)
        found = await shown(running.database("search"))
        assert found == {f"item {n}": (3, 4) for n in range(40)}


async def test_two_processes_that_fence_each_other_show_what_one_would(tmp_path: Path) -> None:
    async with (
        start(market(search()), data=tmp_path, settings=QUICK) as one,
        start(market(search()), data=tmp_path, settings=QUICK) as other,
    ):
        db = one.database("search")
        for round_ in range(12):
            if round_ % 4 == 3:
                await other.rebuild("search.prices")
            else:
                async with db.transaction() as tx:  # as if its holder had stood still for long
                    await tx.execute("update borough_leases set until = 0.0, epoch = epoch + 1")
            writes = [one, other][round_ % 2].client(Market)
            await asyncio.gather(*(writes.set_price(f"item {n}", round_) for n in range(25)))
        position = await one.client(Market).set_price("last", 1)
        for running in (one, other):
            assert await running.client(Search).price("last", position, 30.0) == 1
        expected = {f"item {n}": (11, 12) for n in range(25)}
        assert await shown(db) == {**expected, "last": (1, 1)}


async def test_what_is_no_projection_cannot_be_rebuilt(tmp_path: Path) -> None:
    async with start(market(HearingService), data=tmp_path) as running:
        with pytest.raises(ConfigurationError, match="no running service has the projection"):
            await running.rebuild("search.prices")


async def test_a_handler_that_becomes_a_projection_is_told_to_empty_its_table(
    tmp_path: Path,
) -> None:
    async with start(market(HearingService), data=tmp_path) as running:
        await set_prices(running, ("nut", 1))
    expected = "search.prices is a new projection, and its table prices is not empty"
    with pytest.raises(ConfigurationError, match=expected):
        async with start(market(search()), data=tmp_path):
            pass
    async with start(market(), data=tmp_path) as running:
        await set_prices(running, ("nut", 2))
    async with start(market(HearingService), data=tmp_path) as running:
        await running.quiet()
        async with running.database("search").transaction() as tx:
            await tx.execute("delete from prices")
    async with start(market(search()), data=tmp_path) as running:
        await running.quiet()
        assert await shown(running.database("search")) == {"nut": (2, 2)}


async def test_a_table_that_is_missing_is_told(tmp_path: Path) -> None:
    kind: Any = search()

    async def nothing(self: Any) -> None:
        """Create no table."""

    kind.open = nothing
    expected = "the table prices of the projection search.prices cannot be read"
    with pytest.raises(ConfigurationError, match=expected):
        async with start(market(kind), data=tmp_path):
            pass


async def test_a_table_that_cannot_be_emptied_is_told_and_stays(tmp_path: Path) -> None:
    async with start(market(search()), data=tmp_path) as running:
        await set_prices(running, ("nut", 1))
        async with running.database("search").transaction() as tx:
            await tx.execute("create table sales (item text references prices (item))")
            await tx.execute("insert into sales values ('nut')")
    expected = "the table prices of the projection search.prices cannot be emptied .FOREIGN KEY"
    with pytest.raises(ConfigurationError, match=expected):
        async with start(market(search(2)), data=tmp_path):
            pass
    async with start(market(search(1)), data=tmp_path) as running:
        await set_prices(running, ("nut", 2))
        assert await shown(running.database("search")) == {"nut": (2, 2)}


@pytest.mark.parametrize("mode", IN_ONE_PROCESS)
async def test_a_read_sees_the_write_whose_position_it_has(mode: Mode) -> None:
    async with start(market(search()), mode=mode) as running:
        writes, reads = running.client(Market), running.client(Search)
        took: list[float] = []
        for cents in range(1, 21):
            position = await writes.set_price("nut", cents)
            began = time.monotonic()
            assert await reads.price("nut", position) == cents
            took.append(time.monotonic() - began)
        assert sorted(took)[10] < 0.2  # it need not wait until positions are noted


async def test_a_position_is_the_last_event_of_each_topic() -> None:
    async with start(market(search())) as running:
        db = running.database("market")
        assert await running.client(Market).make_noise(1) == "market.Market:1"
        assert await running.client(Market).make_noise(2) == "market.Market:2"
        assert await running.client(Search).price("nut", "market.Market:2") == 0
        async with db.transaction() as tx:
            with pytest.raises(TransactionMisuse, match="after the block"):
                _ = tx.position
        assert tx.position == ""


async def test_a_read_waits_no_longer_than_it_says() -> None:
    async with start(market(search())) as running:
        await set_prices(running, ("nut", 1))
        expected = "search.prices does not show market.Market:99 yet; it has come to 1"
        with pytest.raises(DeadlineExceeded, match=expected):
            await running.client(Search).price("nut", "market.Market:99", 0.1)
        assert await running.client(Search).price("nut", "other.Other:99", 0.1) == 1
        assert await running.client(Search).price("nut", "") == 1


@pytest.mark.parametrize("text", ["x", "market.Market:", "market.Market:-1", "a:1,", "a:1;b:2"])
async def test_what_is_no_position_is_refused(text: str) -> None:
    async with start(market(search())) as running:
        with pytest.raises(InvalidRequest, match="is no position that a write has returned"):
            await running.client(Search).price("nut", text)


async def test_waiting_inside_a_transaction_or_for_another_name_is_refused() -> None:
    async with start(market(search())) as running:
        service = running.service("search")
        with pytest.raises(ConfigurationError, match="search has no projection 'x'; it has prices"):
            await service.projections.lag("x")
        async with service.db.transaction():
            with pytest.raises(TransactionMisuse, match="wait before it"):
                await service.projections.reached("prices", "market.Market:1")


async def test_an_event_that_is_put_aside_is_not_shown() -> None:
    async with start(market(search()), settings={"events.retry_first_s": 60.0}) as running:
        service = running.service("search")
        type(service).broken = True
        bad = await running.client(Market).set_price("bad", 1)
        good = await running.client(Market).set_price("good", 2)
        assert await running.client(Search).price("good", good) == 2
        with pytest.raises(DeadlineExceeded, match="it has come to 0"):
            await running.client(Search).price("bad", bad, 0.1)
        lag = await running.client(Search).lag()
        assert lag.seconds > 0


def held(kind: Any) -> Any:
    """The service, whose projection waits to be released before it shows anything."""
    write = kind.write

    async def late(self: Any, event: Any, tx: Any) -> None:
        self.begun.set()
        await self.release.wait()
        await write(self, event, tx)

    kind.write, kind.begun, kind.release = late, asyncio.Event(), asyncio.Event()
    return kind


async def test_the_lag_is_the_age_of_what_is_not_shown_yet(tmp_path: Path) -> None:
    clock = ManualClock()
    async with start(market(search()), data=tmp_path, clock=clock) as running:
        await set_prices(running, ("nut", 1))
        lag = await running.client(Search).lag()
        assert (lag.seconds, lag.rebuilding) == (0.0, False)
    clock.advance(10)
    async with start(market(), data=tmp_path, clock=clock) as running:
        await set_prices(running, ("nut", 2))
        clock.advance(60)
        await set_prices(running, ("nut", 3))
        clock.advance(30)
    for generation, seconds in ((1, 90.0), (2, 100.0)):
        kind = held(search(generation))
        async with start(market(kind), data=tmp_path, clock=clock) as running:
            async with asyncio.timeout(5):
                await kind.begun.wait()
            lag = await running.client(Search).lag()
            assert (lag.seconds, lag.rebuilding) == (seconds, generation == 2)
            kind.release.set()
            await running.quiet()
            lag = await running.client(Search).lag()
            assert (lag.seconds, lag.rebuilding) == (0.0, False)
            assert await shown(running.database("search")) == {"nut": (3, 3)}


async def test_it_is_waited_for_whichever_process_makes_it(tmp_path: Path) -> None:
    async with start(market(search()), data=tmp_path) as one:
        await set_prices(one, ("nut", 1))
        async with start(market(search()), data=tmp_path) as other:
            for cents in range(2, 6):
                position = await one.client(Market).set_price("nut", cents)
                assert await other.client(Search).price("nut", position) == cents
            lag = await other.client(Search).lag()
            assert (lag.seconds, lag.rebuilding) == (0.0, False)


async def test_an_older_release_leaves_the_new_generation_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(market(search()), data=tmp_path, settings=QUICK) as old:
        await set_prices(old, ("nut", 1))
        async with start(market(search(2, factor=10)), data=tmp_path, settings=QUICK) as new:
            db = new.database("search")
            for cents in range(2, 12):
                position = await old.client(Market).set_price("nut", cents)
                assert await new.client(Search).price("nut", position) == cents * 10
            assert await shown(db) == {"nut": (110, 11)}
            async with asyncio.timeout(30):
                while "is of generation 1 here, and 2 is in force" not in caplog.text:
                    async with db.transaction() as tx:  # as if the new process had died
                        await tx.execute("update borough_leases set until = 0.0, epoch = epoch + 1")
                    await asyncio.sleep(0.1)
            position = await old.client(Market).set_price("nut", 50)
            assert await new.client(Search).price("nut", position) == 500
            async with start(
                market(search()), data=tmp_path, settings=QUICK
            ):  # restarted meanwhile
                position = await old.client(Market).set_price("nut", 60)
                assert await new.client(Search).price("nut", position) == 600
            assert await db.one(int, "select declared from borough_generations") == 2


async def test_a_release_that_outlives_another_generation_makes_its_own_anew(
    tmp_path: Path,
) -> None:
    async with start(market(search()), data=tmp_path, settings=QUICK) as old:
        await set_prices(old, ("nut", 1))
        async with start(market(search(2, factor=10)), data=tmp_path, settings=QUICK) as new:
            await set_prices(new, ("nut", 2))
            assert await shown(new.database("search")) == {"nut": (20, 2)}
        # The rollout is taken back, and this process has run all the time.
        position = await old.client(Market).set_price("nut", 3)
        assert await old.client(Search).price("nut", position) == 3
        db = old.database("search")
        assert await shown(db) == {"nut": (3, 3)}
        assert await db.one(int, "select declared from borough_generations") == 1


async def test_quiet_waits_for_a_rebuild_of_which_the_consumer_does_not_know() -> None:
    async with start(market(search()), settings=QUICK) as running:
        await set_prices(running, ("nut", 1))
        await running.rebuild("search.prices")
        assert await shown(running.database("search")) == {}
        await running.quiet()
        assert await shown(running.database("search")) == {"nut": (1, 1)}


class Conflicting:
    """A store where another transaction is in the way of the first body that empties a table."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.tries = inner, 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self.tries += 1
        async with self._inner.transaction() as tx:
            yield Refusing(tx) if self.tries == 1 else tx


class Refusing:
    def __init__(self, inner: Any) -> None:
        self.maybe = inner.maybe

    async def execute(self, text: str, *_: object) -> int:
        raise TransactionConflict(f"another transaction was first at {text}")


async def test_a_rebuild_that_meets_another_transaction_is_done_again() -> None:
    async with start(market(search()), settings=QUICK) as running:
        await set_prices(running, ("nut", 1))
        database: Any = running.database("search")
        store: Any = Conflicting(database.store)
        assert await rebuild(store, "search.prices", ["prices"]) == 2
        await running.quiet()
        assert (await shown(database), store.tries) == ({"nut": (1, 1)}, 2)


def test_positions_are_written_and_read() -> None:
    topics = ["b.B", "a.A", "b.B", "a.A.v2", "b.B"]
    assert position_of(topics, 105) == "a.A:102,a.A.v2:104,b.B:105"
    assert read_position("a.A:102,a.A.v2:104,b.B:105") == {"a.A": 102, "a.A.v2": 104, "b.B": 105}
    assert (position_of([], 105), read_position("")) == ("", {})


@given(st.lists(st.sampled_from(["a.A", "b-c.B", "d_e.F.v2"]), max_size=9), st.integers(9, 2**62))
def test_the_position_of_a_transaction_is_that_of_its_last_event_per_topic(
    topics: list[str], last: int
) -> None:
    numbers = range(last - len(topics) + 1, last + 1)
    assert read_position(position_of(topics, last)) == dict(zip(topics, numbers, strict=True))
