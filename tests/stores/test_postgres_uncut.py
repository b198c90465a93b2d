"""A statement that no cancellation cuts short, without a server."""

import asyncio

import pytest

from borough.stores.postgres.uncut import Uncut


class _Statement:
    """Waits for `answers`, one after another, and notes what it gets from them."""

    def __init__(self, count: int = 1) -> None:
        loop = asyncio.get_running_loop()
        self.answers: list[asyncio.Future[str]] = [loop.create_future() for _ in range(count)]
        self.got: list[str] = []
        self.uncut = Uncut(self._run())

    async def _run(self) -> None:
        for answer in self.answers:
            self.got.append(await answer)

    async def awaited(self) -> None:
        await self.uncut


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_it_goes_on_to_its_end_although_its_task_is_cancelled() -> None:
    statement = _Statement(2)
    task = asyncio.create_task(statement.awaited())
    for answer in statement.answers:
        await _turn()
        task.cancel("enough")
        await _turn()
        assert not answer.cancelled()
        answer.set_result("yes")
    await task
    assert statement.got == ["yes", "yes"]
    assert str(statement.uncut.request) == "enough"


async def test_a_task_that_was_cancelled_before_it_waits_is_no_exception() -> None:
    statement = _Statement()

    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await statement.uncut

    task = asyncio.create_task(cancelled())
    await _turn()
    statement.answers[0].set_result("yes")
    await task
    assert statement.got == ["yes"]
    assert statement.uncut.request is not None


async def test_a_timeout_around_it_is_a_timeout_afterwards() -> None:
    statement = _Statement()

    async def hurried() -> None:
        async with asyncio.timeout(0):
            asyncio.get_running_loop().call_later(0.01, statement.answers[0].set_result, "yes")
            await statement.uncut
            assert statement.uncut.request is not None
            raise statement.uncut.request

    with pytest.raises(TimeoutError):
        await hurried()
    assert statement.got == ["yes"]


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_it_waits_for_fails_it(is_cancelled: bool) -> None:
    statement = _Statement()
    task = asyncio.create_task(statement.awaited())
    await _turn()
    if is_cancelled:
        task.cancel()
    statement.answers[0].set_exception(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await task
    assert (statement.uncut.request is not None) == is_cancelled


async def test_what_it_waits_for_is_cancelled_by_others_and_that_is_no_request() -> None:
    statement = _Statement()
    task = asyncio.create_task(statement.awaited())
    await _turn()
    statement.answers[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert statement.uncut.request is None
