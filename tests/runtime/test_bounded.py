"""However many events pass, what is kept of them stays small."""

import asyncio
import itertools
from pathlib import Path

import msgspec

from borough.contracts.retention import Retention
from borough.runtime.housekeeping import Housekeeping, HousekeepingTerms
from borough.runtime.pulse import until_quiet
from borough.stores.sqlite.options import SqliteOptions
from tests.runtime.stage import TOPIC, Place, Placed, Runs, Stage, remember, running, staged

EVENTS = 4_000
AT_ONCE = 250
BEHIND = 1000
KEPT_S = 0.5
_REMEMBERED = "select count(*) from borough_inbox"


class Sizes(msgspec.Struct):
    """The most that was there at any time."""

    outbox: int = 0
    inbox: int = 0
    positions: int = 0
    wal_bytes: int = 0
    database_bytes: int = 0
    topic_bytes: int = 0

    async def look(self, stage: Stage, orders: Place, mail: Place) -> None:
        for table, place in (("outbox", orders), ("inbox", mail), ("positions", mail)):
            count = await place.store.one(int, f"select count(*) from borough_{table}")
            setattr(self, table, max(getattr(self, table), count))
        files = [stage.folder / f"{place.name}.db" for place in (orders, mail)]
        wal = max(file.with_name(file.name + "-wal").stat().st_size for file in files)
        self.wal_bytes = max(self.wal_bytes, wal)
        self.database_bytes = max(self.database_bytes, *(file.stat().st_size for file in files))
        self.topic_bytes = max(self.topic_bytes, (await stage.broker.facts(TOPIC)).bytes or 0)


async def flood(folder: Path, events: int, *, kept_s: float, is_kept: bool) -> tuple[Sizes, Sizes]:
    """Send events through two services; returns the greatest sizes, and those when all is over.

    The topic keeps them longer than a loaded machine needs to handle them.
    """
    most, last = Sizes(), Sizes()
    async with staged(folder) as stage:
        orders, mail = await stage.place("orders"), await stage.place("mail")
        terms = HousekeepingTerms(0.1, kept_s, kept_s, kept_s)
        retention = Retention("age", 20)
        relay = stage.relay(orders)
        consumer = stage.consumer(mail, remember(mail), takes_transaction=True)
        await consumer.register()
        keeping = [
            Housekeeping(p.name, p.store, p.leases, stage.clock, stage.broker, names, topics, terms)
            for p, names, topics in ((orders, [], {TOPIC: retention}), (mail, ["mail.hear"], {}))
        ]
        roles: list[Runs] = [relay, consumer, *(keeping if is_kept else [])]
        async with running(*roles):
            numbers = itertools.count()
            for sent in range(AT_ONCE, events + 1, AT_ONCE):
                async with orders.db.transaction() as tx:
                    for number in itertools.islice(numbers, AT_ONCE):
                        tx.publish(Placed(customer=f"c{number % 97}", number=number))
                while sent - consumer.handled > BEHIND:
                    await stage.activity.wait(stage.activity.count, 0.05)
                await most.look(stage, orders, mail)
            await until_quiet([relay, consumer], stage.activity)
            assert await mail.store.one(int, "select count(distinct number) from seen") == events
            assert await mail.store.one(int, "select count(*) from seen") == events
            if is_kept:  # a last event, when all the others are old
                await asyncio.sleep(kept_s)
                await orders.place_order(events)
                async with asyncio.timeout(20):
                    while await mail.store.one(int, _REMEMBERED) > 1:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
        await last.look(stage, orders, mail)
    return most, last


async def test_a_flood_leaves_little_behind(tmp_path: Path) -> None:
    most, last = await flood(tmp_path, EVENTS, kept_s=KEPT_S, is_kept=True)
    assert most.outbox <= BEHIND + AT_ONCE
    assert most.positions == 1
    assert most.wal_bytes <= 2 * SqliteOptions().checkpoint_bytes
    assert last.inbox <= 1
    assert last.outbox == 0


async def test_without_housekeeping_everything_would_stay(tmp_path: Path) -> None:
    _, last = await flood(tmp_path, 2000, kept_s=KEPT_S, is_kept=False)
    assert last.inbox == 2000
