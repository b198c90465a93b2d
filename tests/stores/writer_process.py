"""A second process: `python writer_process.py MODE DATABASE TAG COUNT`."""

import asyncio
import os
import sys

from borough.clock import SystemClock
from borough.ports import Migration
from borough.stores.sqlite import SqliteStore


async def write(store: SqliteStore, tag: str, count: int) -> None:
    """Bodies of two statements, 32 in flight; prints what was acknowledged."""
    numbers = iter(range(count))

    async def bodies() -> None:
        for number in numbers:
            async with store.transaction() as tx:
                await tx.execute("insert into done values ($1, $2)", tag, number)
                await tx.execute("update total set n = n + 1")
            os.write(1, f"{number}\n".encode())

    await asyncio.gather(*(bodies() for _ in range(32)))


async def hold(store: SqliteStore) -> None:
    """Say when the writer is held, and never give it back."""
    async with store.transaction() as tx:
        await tx.execute("update total set n = n + 1000")
        os.write(1, b"held\n")
        await asyncio.Event().wait()


async def main() -> None:
    """One mode of being another process."""
    mode, path, tag, count = sys.argv[1:5]
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    if mode == "migrate":
        slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000) "
        script = Migration(
            "0001_slow.sql",
            f"create table slow (n integer); insert into slow {slow} select max(i) from n;",
        )
        applied = await store.migrate("service", [script])
        os.write(1, f"{len(applied)}\n".encode())
    elif mode == "write":
        await write(store, tag, int(count))
    else:
        await hold(store)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
