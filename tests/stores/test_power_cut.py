"""The power goes at any moment: what was acknowledged is there, and the database is sound."""

import asyncio
import random
from pathlib import Path

import apsw

from borough.clock import SystemClock
from borough.stores.sqlite import SqliteOptions, SqliteStore
from tests.stores.conftest import SCHEMA
from tests.stores.recording import (
    Act,
    RecordingDisk,
    kept_until,
    recording_disk,
    write_after_cut,
)

CUTS = 150
SMALL = SqliteOptions(checkpoint_bytes=60_000, wal_bytes=200_000, body_s=30.0, wait_s=60.0)


async def record(folder: Path, disk: RecordingDisk) -> list[Act]:
    """Bodies side by side, with checkpoints between them, each marked when it is acknowledged."""
    folder.mkdir()  # noqa: ASYNC240 - it is quick
    store = SqliteStore(folder / "shop.db", clock=SystemClock(), options=SMALL)
    await store.open()
    await store.migrate("service", [SCHEMA])
    chance = random.Random(7)

    async def body(number: int) -> None:
        name = f"{number:04}"
        async with store.transaction() as tx:
            await tx.execute("insert into item (name, stock) values ($1, 1)", name)
            await tx.execute("update item set stock = $1 where id = 1", number)
            await tx.execute(
                "insert into item (name) values ($1)", f"{name} {'x' * chance.randrange(3000)}"
            )
        disk.mark(name)

    for first in range(0, 120, 6):
        await asyncio.gather(*(body(number) for number in range(first, first + 6)))
    await store.close()
    return disk.acts


def found_in(path: Path) -> tuple[set[str], set[str], str]:
    """The names there, those with their second row, and what the check of the file says."""
    connection = apsw.Connection(str(path))
    try:
        checked = str(connection.execute("pragma integrity_check").fetchall()[0][0])
        tables = connection.execute("select count(*) from sqlite_schema").fetchall()[0][0]
        if not tables:
            return set(), set(), checked
        names = {row[0] for row in connection.execute("select name from item")}
        return (
            {name for name in names if " " not in name},
            {name[:4] for name in names if " " in name},
            checked,
        )
    finally:
        connection.close()


async def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(tmp_path: Path) -> None:
    with recording_disk() as disk:
        acts = await record(tmp_path / "written", disk)
    assert sum(act.kind == "sync" and act.file == "shop.db" for act in acts) >= 3  # checkpoints
    first = next(n for n, act in enumerate(acts) if act.kind == "mark")
    chance = random.Random(11)
    cuts = range(first, len(acts))
    for number, cut in enumerate(chance.sample(cuts, min(CUTS, len(cuts)))):
        folder = tmp_path / f"cut{number}"
        write_after_cut(folder, acts, cut, random.Random(cut))
        singles, seconds, checked = found_in(folder / "shop.db")
        assert checked == "ok", cut
        assert singles == seconds, cut  # bodies are there whole or not at all
        assert set(kept_until(acts, cut)) <= singles, cut


async def test_a_disk_whose_syncs_do_nothing_is_seen(tmp_path: Path) -> None:
    """The trial itself is tried: without syncs, acknowledged bodies are lost."""
    with recording_disk() as disk:
        acts = [act for act in await record(tmp_path / "written", disk) if act.kind != "sync"]
    lost = 0
    for cut in random.Random(3).sample(range(len(acts) // 2, len(acts)), 40):
        folder = tmp_path / f"cut{cut}"
        write_after_cut(folder, acts, cut, random.Random(cut))
        try:
            singles, _, checked = found_in(folder / "shop.db")
        except apsw.Error:
            lost += 1
            continue
        lost += checked != "ok" or not set(kept_until(acts, cut)) <= singles
    assert lost > 10
