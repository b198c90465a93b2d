"""The card issuer charges once per order and remembers it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from shop.demo.issuer import LATE, SILENT, Answer, Issuer
from shop.demo.journal import IssuerEntry, read_journal

GOOD, BAD = "4242424242424242", "4000000000000002"


@pytest.fixture
async def open_issuer(tmp_path: Path) -> AsyncIterator[Callable[[], Issuer]]:
    opened: list[Issuer] = []

    def open_one() -> Issuer:
        opened.append(Issuer(tmp_path / "issuer.jsonl", silence_s=60.0))
        return opened[-1]

    yield open_one
    for issuer in opened:
        await issuer.close()


async def test_a_repeat_gets_the_answer_of_the_first_time(
    open_issuer: Callable[[], Issuer], tmp_path: Path
) -> None:
    issuer = open_issuer()
    together = [issuer.charge("order", 100, "EUR", GOOD) for _ in range(5)]
    answers = await asyncio.gather(*together)
    assert answers == [answers[0]] * 5
    assert answers[0][0] == 200
    assert len(list(read_journal(tmp_path / "issuer.jsonl", IssuerEntry))) == 1


async def test_another_amount_for_the_same_order_is_refused(
    open_issuer: Callable[[], Issuer],
) -> None:
    issuer = open_issuer()
    await issuer.charge("order", 100, "EUR", GOOD)
    assert (await issuer.charge("order", 200, "EUR", GOOD))[0] == 422


async def test_a_decline_stays_and_no_charge_is_found(open_issuer: Callable[[], Issuer]) -> None:
    issuer = open_issuer()
    declined = (402, {"reason": "card_declined"})
    assert await issuer.charge("order", 100, "EUR", BAD) == declined
    assert await issuer.charge("order", 100, "EUR", GOOD) == declined
    assert issuer.find("order")[0] == 404


async def test_after_a_restart_it_remembers(open_issuer: Callable[[], Issuer]) -> None:
    first = open_issuer()
    answer = await first.charge("order", 100, "EUR", GOOD)
    await first.refund("order")
    second = open_issuer()
    assert await second.charge("order", 100, "EUR", GOOD) == answer
    assert second.find("order")[1]["refunded"] is True


async def _hurried(issuer: Issuer, asked: Awaitable[Answer]) -> Answer:
    """The answer that silence holds back, let out at once."""
    answer = asyncio.ensure_future(asked)
    await asyncio.sleep(0)
    issuer.hurry()
    return await answer


async def test_the_late_card_is_charged_before_the_answer_comes(
    open_issuer: Callable[[], Issuer],
) -> None:
    issuer = open_issuer()
    late = asyncio.create_task(issuer.charge("order", 100, "EUR", LATE))
    await asyncio.sleep(0)
    assert (await issuer.charge("order", 100, "EUR", GOOD))[0] == 200
    assert not late.done()
    issuer.hurry()
    assert (await late)[0] == 200


async def test_the_silent_card_is_never_charged(open_issuer: Callable[[], Issuer]) -> None:
    issuer = open_issuer()
    assert (await _hurried(issuer, issuer.charge("order", 100, "EUR", SILENT)))[0] == 504
    assert issuer.find("order")[0] == 404


async def test_a_refund_may_be_repeated_and_is_written_once(
    open_issuer: Callable[[], Issuer], tmp_path: Path
) -> None:
    issuer = open_issuer()
    assert (await issuer.refund("order"))[0] == 404
    await issuer.charge("order", 100, "EUR", GOOD)
    answers = await asyncio.gather(*[issuer.refund("order") for _ in range(3)])
    assert {answer[0] for answer in answers} == {200}
    done = [entry.did for entry in read_journal(tmp_path / "issuer.jsonl", IssuerEntry)]
    assert done == ["charged", "refunded"]
