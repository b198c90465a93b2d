"""A COMMIT that was applied but reported failed, or reported done and lost: nothing doubles or is lost.

Each commit of a run is made ambiguous once. Both truths are then followed to their end: the process
that goes on, and a new one on what a crash at that moment would have left.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from borough.errors import BrokerError, CommitFailed
from borough.ports import Message
from borough.reliability.lease import Terms
from borough.runtime.pulse import until_quiet
from borough.testing.clock import ManualClock
from tests.runtime.ambiguous import ambiguous_disk, copied
from tests.runtime.stage import Place, Placed, Stage, remember, running, staged
from tests.runtime.test_answers import Receipt, Till, answering

SHORT = Terms(lasting_s=0.5, renewal_s=0.1)
ORDERS = 6
LEFT = ("borough_outbox", "borough_parked", "borough_dead")


async def carry(stage: Stage, orders: Place, mail: Place, calls: list[int]) -> None:
    """Let all events be handled, by both forms."""

    async def note(event: Placed) -> None:
        calls.append(event.number)

    relay = stage.relay(orders)
    one = stage.consumer(mail, remember(mail), takes_transaction=True, name="one")
    two = stage.consumer(mail, note, takes_transaction=False, name="two")
    await one.register()
    await two.register()
    async with running(relay, one, two):
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            await until_quiet([relay, one, two], stage.activity)


async def place_all(orders: Place, numbers: Sequence[int]) -> list[int]:
    """Place orders; the numbers whose commits were not acknowledged."""
    failed: list[int] = []
    for number in numbers:
        try:
            await orders.place_order(number)
        except CommitFailed:
            failed.append(number)
    return failed


async def what_is_wrong(orders: Place, mail: Place, calls: Sequence[int]) -> list[str]:
    """What is lost, doubled, dead or stuck."""
    placed = await orders.store.all(int, "select number from placed order by number")
    seen = sorted(await mail.seen())
    wrong = [] if seen == placed else [f"placed {placed}, seen {seen}"]
    if set(calls) < set(placed):
        wrong.append(f"placed {placed}, form two called for {sorted(calls)}")
    done = await mail.store.all(
        tuple[str, int], "select handler, count(*) from borough_inbox group by handler"
    )
    wrong += [f"{handler} has {n} done of {len(placed)}" for handler, n in done if n != len(placed)]
    for place in (orders, mail):
        for table in await place.store.all(
            str, "select name from sqlite_schema where type = 'table'"
        ):
            if table.startswith(LEFT):
                count = await place.store.one(int, f"select count(*) from {table}")
                wrong += [f"{count} rows are left in {table} of {place.name}"] if count else []
    return wrong


async def both_truths(folder: Path, database: str, at: int) -> tuple[bool, list[str]]:
    """Make one commit ambiguous and follow what comes of it; whether there was such a commit."""
    here, there = folder / "here", folder / "there"
    here.mkdir(parents=True)
    calls: list[int] = []
    with ambiguous_disk(database, at) as disk:
        disk.photograph = lambda: copied(here, there)
        async with staged(here, terms=SHORT) as stage:
            orders, mail = await stage.place("orders"), await stage.place("mail")
            for name in ("one", "two"):
                await stage.consumer(
                    mail, remember(mail), takes_transaction=True, name=name
                ).register()
            disk.is_armed = True
            failed = await place_all(orders, range(ORDERS))
            failed = await place_all(orders, failed) if failed else []
            await carry(stage, orders, mail, calls)
            wrong = [f"here: {it}" for it in await what_is_wrong(orders, mail, calls)]
        if not disk.has_failed:
            return False, wrong
    async with staged(there, terms=SHORT) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        known = set(await orders.store.all(int, "select number from placed"))
        await place_all(orders, [n for n in range(ORDERS) if n not in known])
        await carry(stage, orders, mail, calls)
        wrong += [f"there: {it}" for it in await what_is_wrong(orders, mail, calls)]
    return True, wrong


@pytest.mark.parametrize("database", ["orders.db", "mail.db"])
async def test_each_commit_may_be_applied_and_reported_failed(
    tmp_path: Path, database: str
) -> None:
    at = 0
    while True:
        there_was_one, wrong = await both_truths(tmp_path / str(at), database, at)
        assert wrong == [], f"commit {at} of {database}"
        if not there_was_one:
            break
        at += 1
    assert at > 5


async def turn() -> None:
    """Let what is on its way to a COMMIT go there, without what comes next."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.parametrize(("at", "before"), [(0, None), (1, turn)])
async def test_a_keyed_answer_that_was_applied_and_reported_failed_is_replayed(
    tmp_path: Path, at: int, before: Callable[[], Awaitable[None]] | None
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    clock = ManualClock()
    with ambiguous_disk("orders.db", at) as disk:  # the mark commits with the answer, or before it
        disk.photograph = lambda: copied(here, there)
        async with staged(here, clock) as stage:
            till = Till(await stage.place("orders"), clock)
            disk.is_armed = True
            with pytest.raises(CommitFailed):
                await till.run(answering(1), before=before)
            assert await till.run(answering(1)) == Receipt(number=1)
            assert (till.runs, await till.rows("placed")) == (2, 1)
    async with staged(there, clock) as stage:
        till = Till(await stage.place("orders"), clock)
        assert await till.run(answering(2)) == Receipt(number=1)  # the stored one
        assert (till.runs, await till.rows("placed")) == (0, 1)


async def test_a_mark_that_was_applied_and_reported_failed_runs_out(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    clock = ManualClock()
    with ambiguous_disk("orders.db", 0) as disk:
        disk.photograph = lambda: copied(here, there)
        async with staged(here, clock) as stage:
            till = Till(await stage.place("orders"), clock)
            disk.is_armed = True
            with pytest.raises(CommitFailed):
                await till.run(answering(1), before=turn)
            assert await till.run(answering(1)) == Receipt(number=1)
            assert (till.runs, await till.rows("placed")) == (2, 1)
    async with staged(there, clock) as stage:
        till = Till(await stage.place("orders"), clock)
        clock.advance(11)
        assert await till.run(answering(3)) == Receipt(number=3)
        assert await till.rows("placed") == 1


async def test_a_lease_that_was_applied_and_reported_failed_is_taken_with_a_higher_epoch(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    with ambiguous_disk("orders.db", 0) as disk:
        disk.photograph = lambda: copied(here, there)
        async with staged(here, terms=SHORT) as stage:
            orders = await stage.place("orders")
            disk.is_armed = True
            with pytest.raises(CommitFailed):
                await orders.leases.take("relay")
            taken = await orders.leases.take("relay")
            assert taken is not None
            assert taken.epoch == 1
    clock = ManualClock()
    async with staged(there, clock, terms=SHORT) as stage:
        orders = await stage.place("orders")  # another owner, years later
        taken = await orders.leases.take("relay")
        assert taken is not None
        assert taken.epoch == 2  # above what nobody knew to be applied


class Deaf:
    """A broker that takes events and says that it has not."""

    def __init__(self, inner: Any, times: int) -> None:
        self.inner = inner
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.inner.publish(messages)
        if self.times:
            self.times -= 1
            raise BrokerError("it went wrong after all")


async def test_a_publish_that_was_applied_and_reported_failed_doubles_nothing(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, terms=SHORT) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        deaf: Any = Deaf(stage.broker, 3)
        relay = stage.relay(orders, deaf)
        async with running(relay, consumer):
            await place_all(orders, range(20))
            async with asyncio.timeout(30):
                await until_quiet([relay, consumer], stage.activity)
        assert deaf.times == 0
        assert await mail.seen() == list(range(20))


@pytest.mark.parametrize("database", ["orders", "mail"])
async def test_commits_that_were_reported_done_and_lost_double_nothing(
    tmp_path: Path, database: str
) -> None:
    """A disk that lies: one database comes back as it was earlier, all else as it is now."""
    now, earlier = tmp_path / "now", tmp_path / "earlier"
    now.mkdir()
    calls: list[int] = []
    async with staged(now, terms=SHORT) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        for name in ("one", "two"):
            await stage.consumer(mail, remember(mail), takes_transaction=True, name=name).register()
        await place_all(orders, range(5))
        if database == "mail":
            await carry(stage, orders, mail, calls)
            await place_all(orders, range(5, 10))
        copied(now, earlier)
        await carry(stage, orders, mail, calls)
    for path in now.glob(f"{database}.db*"):
        path.unlink()
    for path in earlier.glob(f"{database}.db*"):
        shutil.copyfile(path, now / path.name)
    async with staged(now, terms=SHORT) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        await place_all(orders, range(100, 105))
        await carry(stage, orders, mail, calls)
        assert await what_is_wrong(orders, mail, calls) == []
