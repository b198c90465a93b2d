"""A call means the same in every mode: in the process, encoded both ways, and over HTTP."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from inspect import signature

import pytest

from borough import Principal, Reply
from borough.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    KeyReused,
    ServiceFailure,
)
from borough.testing import Mode, Running, start
from tests.calls.town import Broken, Depot, Desk, Seen, Thing, town
from tests.modes import IN_ONE_PROCESS


@pytest.fixture(params=IN_ONE_PROCESS)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    mode: Mode = request.param
    async with start(town(), mode=mode) as found:
        yield found


async def test_an_answer_comes_back_equal(running: Running) -> None:
    thing = Thing(name="cup", size=7)
    assert await running.client(Depot).keep(thing) == thing


async def test_parameters_travel_in_path_query_and_defaults(running: Running) -> None:
    depot = running.client(Depot)
    found = await depot.find("a/b ü?", tags=("x", "y&z"))
    assert found == {"name": "a/b ü?", "limit": "10", "tags": "x+y&z"}
    assert (await depot.find("n", 3))["limit"] == "3"


async def test_a_declared_problem_arrives_as_itself(running: Running) -> None:
    with pytest.raises(Broken) as caught:
        await running.client(Depot).keep(Thing(name="glass"))
    assert caught.value == Broken(part="rim")


@pytest.mark.parametrize("how", ["undeclared", "bug"])
async def test_anything_else_arrives_as_a_service_failure_without_its_inside(
    running: Running, how: str
) -> None:
    with pytest.raises(ServiceFailure) as caught:
        await running.client(Depot).fail(how)
    assert str(caught.value) == "depot.Depot.fail failed"
    assert caught.value.__cause__ is None
    assert not caught.value.retryable


async def test_constraints_hold(running: Running) -> None:
    with pytest.raises(InvalidRequest, match="<= 100"):
        await running.client(Depot).keep(Thing(name="cup", size=101))


async def test_a_wrong_type_is_refused(running: Running) -> None:
    with pytest.raises(InvalidRequest):
        await running.client(Depot).find("x", "many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_what_no_path_can_carry_is_refused(running: Running, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await running.client(Depot).find(name)


async def test_a_mutable_argument_is_copied(running: Running) -> None:
    mine = [3, 1, 2]
    assert await running.client(Depot).sort(mine) == [1, 2, 3]
    assert mine == [3, 1, 2]


async def test_the_callee_sees_who_calls_and_for_whom(running: Running) -> None:
    user = Principal("ann", scopes=("read",))
    seen = await running.client(Desk, user=user).ask()
    assert seen == Seen(
        operation="depot.Depot.seen",
        caller="desk",
        user="ann",
        key=None,
        trace_id=seen.trace_id,
        has_deadline=True,
    )
    assert seen.trace_id is not None
    assert len(seen.trace_id) == 32


async def test_a_service_that_declares_no_dependency_is_refused(running: Running) -> None:
    with pytest.raises(Forbidden, match=r"depot does not declare desk\.Desk"):
        running.client(Desk, caller="depot")


async def test_a_problem_that_the_caller_catches_stays_between_them(running: Running) -> None:
    assert await running.client(Desk).pass_on("declared") == "caught all"


async def test_a_failure_of_a_dependency_is_a_failure_of_the_caller(running: Running) -> None:
    with pytest.raises(ServiceFailure, match=r"desk\.Desk\.pass_on failed"):
        await running.client(Desk).pass_on("bug")


async def test_a_call_inside_an_open_transaction_is_refused(running: Running) -> None:
    with pytest.raises(ServiceFailure):
        await running.client(Desk).inside()


async def test_a_transaction_around_a_call_is_not_open_in_who_is_called(running: Running) -> None:
    async with running.database("desk").transaction():
        assert (await running.client(Desk, user="ann").ask()).caller == "desk"


async def test_the_callee_cannot_change_the_callers_context(running: Running) -> None:
    _, after = await running.client(Desk).moods()
    assert after == "mine"


async def test_an_operations_own_timeout_ends_it_and_cancels_the_handler(running: Running) -> None:
    depot = running.client(Depot)
    with pytest.raises(DeadlineExceeded):
        await depot.slow()
    async with asyncio.timeout(5):
        await running.service("depot").cancelled.wait()


async def test_cancelling_a_call_cancels_its_handler(running: Running) -> None:
    task = asyncio.ensure_future(_awaited(running))
    async with asyncio.timeout(5):
        await running.service("depot").waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await running.service("depot").cancelled.wait()


def _cancelled_tasks() -> int:
    gc.collect()
    return sum(isinstance(each, asyncio.Task) and each.cancelled() for each in gc.get_objects())


async def test_calls_that_were_cancelled_leave_nothing_in_memory(running: Running) -> None:
    service, before = running.service("depot"), _cancelled_tasks()
    for _ in range(20):
        service.waiting.clear()
        task = asyncio.ensure_future(_awaited(running))
        async with asyncio.timeout(5):
            await service.waiting.wait()
        service.cancelled.clear()
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([task])
            await service.cancelled.wait()
    assert _cancelled_tasks() < before + 10


async def _awaited(running: Running) -> None:
    await running.client(Depot).wait()


async def test_a_stream_gives_every_item_and_ends(running: Running) -> None:
    assert [number async for number in running.client(Depot).count(300)] == list(range(300))


async def test_a_stream_that_fails_half_way_says_so(running: Running) -> None:
    got: list[int] = []

    async def read() -> None:
        async for number in running.client(Depot).count(600):
            got.append(number)  # noqa: PERF401 - what came before the failure is kept

    with pytest.raises(ServiceFailure):
        await read()
    assert got == list(range(500))


async def test_leaving_a_stream_closes_the_callees_generator(running: Running) -> None:
    stream = running.client(Depot).count(10**9)
    async for number in stream:
        if number == 3:
            break
    await stream.aclose()  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    async with asyncio.timeout(5):
        await running.service("depot").closed_stream.wait()


async def test_a_keyed_call_runs_once_and_replays_its_answer(running: Running) -> None:
    depot = running.client(Depot)
    assert await depot.once(7, "first") == 1
    assert await depot.once(7, "first") == 1
    assert await running.database("depot").one(int, "select count(*) from notes") == 1
    with pytest.raises(KeyReused):
        await depot.once(7, "another request")


async def test_a_clients_key_is_its_own(running: Running) -> None:
    ann = running.client(Depot, user="ann", key="k1")
    assert [await ann.pay(5), await ann.pay(5)] == [1, 1]
    assert await running.client(Depot, user="bob", key="k1").pay(5) == 2
    unkeyed = running.client(Depot, user="ann")
    assert [await unkeyed.pay(5), await unkeyed.pay(5)] == [3, 4]


async def test_headers_cookies_and_etag_travel_both_ways(running: Running) -> None:
    reply = await running.client(Depot).tagged("web", "11")
    assert isinstance(reply, Reply)
    assert reply.value == "web 11"
    assert reply.headers["x-answer"] == "yes"
    assert reply.cookies == {"seat": "12"}
    assert reply.etag == "v1"


async def test_an_upload_arrives_as_bytes(running: Running) -> None:
    assert await running.client(Depot).upload("photo", bytes(range(256)) * 100) == 25_600


async def test_nothing_comes_back_from_an_operation_without_a_result(running: Running) -> None:
    assert await running.client(Depot).drop("cup") is None  # type: ignore[func-returns-value]


async def test_python_itself_would_refuse_these_arguments(running: Running) -> None:
    depot = running.client(Depot)
    with pytest.raises(TypeError, match=r"missing .*'name'"):
        await depot.find()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="unexpected keyword argument 'nam'"):
        await depot.find(nam="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="multiple values"):
        await depot.find("x", name="y")  # type: ignore[misc]  # pyright: ignore[reportCallIssue]


async def test_a_single_argument_is_bound_by_its_name(running: Running) -> None:
    depot = running.client(Depot, user="ann", key="k7")
    assert list(signature(depot.pay).parameters) == ["cents"]
    assert await depot.pay(cents=7) == await depot.pay(7)
    assert [each async for each in depot.count(until=2)] == [0, 1]
    with pytest.raises(TypeError, match=r"Depot\.pay\(\) .*unexpected keyword argument 'cent'"):
        await depot.pay(cent=7)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Depot\.pay\(\) missing .*'cents'"):
        await depot.pay()  # type: ignore[call-arg]
    with pytest.raises(InvalidRequest, match="cents"):
        await depot.pay("7")  # type: ignore[arg-type]


async def test_a_header_carries_printable_ascii_only(running: Running) -> None:
    with pytest.raises(InvalidRequest, match="printable ASCII"):
        await running.client(Depot).tagged("w\r\nX-Other: 1")


async def test_a_callers_own_mistake_is_no_fault_of_who_called_it(running: Running) -> None:
    with pytest.raises(ServiceFailure, match=r"desk\.Desk\.mistake failed"):
        await running.client(Desk).mistake()


async def test_the_deadline_holds_for_calls_of_a_handlers_own_task(running: Running) -> None:
    await running.client(Desk).background()
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceeded):
            await running.service("desk").task
