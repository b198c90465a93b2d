"""A worker's job is interrupted while it runs, and nothing is interrupted in its place."""

import asyncio
import threading

import pytest

from borough.stores.sqlite.worker import Bound, Worker

AGES_S = 60.0
SEVERAL_INTERRUPTIONS_S = 0.05


async def test_a_job_is_interrupted_again_until_it_ends_when_its_waiter_is_cancelled() -> None:
    worker = Worker(asyncio.get_running_loop(), "test")
    begun, interrupted = threading.Event(), threading.Semaphore(0)

    def job() -> None:
        begun.set()
        interrupted.acquire()
        interrupted.acquire()

    running = asyncio.create_task(worker.run(job, Bound(interrupted.release, AGES_S)))
    await asyncio.to_thread(begun.wait)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    worker.stop()


async def test_a_cancellation_right_after_the_end_of_a_job_interrupts_nothing() -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(loop, "test")
    interrupted: list[None] = []
    has_ended = threading.Event()
    running = asyncio.create_task(
        worker.run(has_ended.set, Bound(lambda: interrupted.append(None), AGES_S))
    )
    await asyncio.sleep(0)  # the job is handed over
    has_ended.wait()
    worker.stop()  # its end stands in the loop's queue, before the cancellation
    loop.call_soon(running.cancel)
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(SEVERAL_INTERRUPTIONS_S)
    assert not interrupted
