"""The threads of a service are bounded, whoever leaves while they work."""

import asyncio
import subprocess
import sys
import threading

import pytest

from borough.errors import Unavailable
from borough.runtime.pool import ThreadPool


class Blocked:
    """Work that has begun, and goes on until it may end."""

    def __init__(self) -> None:
        self._has_begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self._has_begun.set()
        self.may_end.wait()

    async def begun(self) -> None:
        await asyncio.to_thread(self._has_begun.wait)


async def left(waiting: asyncio.Task[object]) -> None:
    """Whoever waits leaves."""
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def is_free(pool: ThreadPool, busy: int = 0) -> None:
    async with asyncio.timeout(10):
        while pool.busy > busy:  # noqa: ASYNC110 - a pool tells nobody
            await asyncio.sleep(0)


async def test_a_thread_keeps_its_place_until_it_ends_although_its_caller_has_left() -> None:
    pool, work = ThreadPool("shop", 1, 0), Blocked()
    leaving = asyncio.create_task(pool.run(work))
    await work.begun()
    await left(leaving)
    following = asyncio.create_task(pool.run(int))
    await asyncio.sleep(0)
    work.may_end.set()
    with pytest.raises(Unavailable, match="The threads of shop are all taken"):
        await following
    await is_free(pool)
    assert await pool.run(int) == 0
    pool.close()


async def test_threads_work_where_python_was_built_without_ctypes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    pool = ThreadPool("shop", 1, 0)
    assert await pool.run(int) == 0
    pool.close()


async def test_what_has_not_begun_is_not_done_once_nobody_waits_for_it() -> None:
    pool, work, done = ThreadPool("shop", 1, 1), Blocked(), list[int]()
    working = asyncio.create_task(pool.run(work))
    await work.begun()
    waiting = asyncio.create_task(pool.run(done.append, 1))
    await asyncio.sleep(0)
    await left(waiting)
    await is_free(pool, 1)
    following = asyncio.create_task(pool.run(done.append, 2))
    work.may_end.set()
    await asyncio.gather(working, following)
    assert (done, pool.busy) == ([2], 0)
    pool.close()


_LARGE = """
import asyncio, threading
from borough.runtime.pool import ThreadPool

def resident_mib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024

def fill(every):
    every.wait()
    block = b"x" * (20 << 20)
    del block
    small = b"x" * (19 << 20)  # as large as the last one or less, which glibc would keep from then on

async def main():
    pool, every = ThreadPool("shop", 8, 0), threading.Barrier(8)
    before = resident_mib()
    for _ in range(3):
        await asyncio.gather(*(pool.run(fill, every) for _ in range(8)))
    print(resident_mib() - before)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep memory in other ways")
def test_large_blocks_of_threads_go_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 30
