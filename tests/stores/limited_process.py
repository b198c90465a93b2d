"""A process whose files may not grow beyond 200 KiB for a while: `python limited_process.py DATABASE`."""

import asyncio
import resource
import sys

from borough.clock import SystemClock
from borough.errors import StoreError
from borough.stores.sqlite import SqliteStore
from tests.stores.bodies import add
from tests.stores.conftest import SCHEMA

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


async def main(path: str) -> None:
    """Add rows, before the limit bites, while it does and after it has gone."""
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    await store.migrate("service", [SCHEMA])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, UNLIMITED[1]))
    failed = 0
    number = 0
    while failed < 3:
        number += 1
        name = f"{number}-" + "x" * 10_000
        try:
            await add(store, name)
        except StoreError as error:
            failed += 1
            print(f"failed {error}")
        else:
            print(f"added {name}")
    resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)
    await add(store, "after")
    print("added after")
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
