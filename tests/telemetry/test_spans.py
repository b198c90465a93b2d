"""What is recorded of calls, events and schedules, and how it hangs together."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from borough.errors import CallError
from borough.services.context import CURRENT, Call
from borough.telemetry.span import Kind
from borough.telemetry.trace import TraceContext
from borough.testing import Mode
from tests.telemetry.caravan import Depot, Lost, caravan

MODES: list[Mode] = ["local", "wire"]


async def test_one_order_is_one_trace_over_calls_statements_and_events() -> None:
    async with caravan() as seen:
        await seen.front().place("o1")
        await seen.running.quiet()
        assert len({span.trace.trace_id for span in seen.spans()}) == 1
        place = "front:server:front.Front/place"
        assert seen.tree() == [
            place,
            f"{place} > front:client:depot.Depot/fetch",
            f"{place} > front:client:depot.Depot/fetch > depot:server:depot.Depot/fetch",
            f"{place} > front:internal:transaction",
            f"{place} > front:internal:transaction > front:client:select",
            f"{place} > front:producer:create front.Front.Placed",
            f"{place} > front:producer:create front.Front.Placed > crier:consumer:process front.Front.Placed",
            f"{place} > front:producer:create front.Front.Placed > crier:consumer:process front.Front.Placed "
            "> crier:internal:transaction",
            f"{place} > front:producer:create front.Front.Placed > front:producer:send front.Front",
        ]


async def test_a_trace_looks_the_same_within_a_process_and_over_the_wire() -> None:
    trees: list[list[str]] = []
    for mode in MODES:
        async with caravan(mode) as seen:
            with Sampled():
                await seen.front().place("o1")
            await seen.running.quiet()
            trees.append([path for path in seen.tree() if "depot" in path or "crier" in path])
    local, wire = trees
    assert [path.split(" > ")[-1] for path in local] == [path.split(" > ")[-1] for path in wire]


class Sampled:
    """Calls from within a sampled trace of the test's own."""

    def __init__(self, *, is_sampled: bool = True, state: str = "", baggage: str = "") -> None:
        self.trace = TraceContext("a" * 32, "b" * 16, is_sampled, state, baggage)

    def __enter__(self) -> TraceContext:
        call = Call("", "front", None, None, float("inf"), self.trace)
        self._token = CURRENT.set(call)
        return self.trace

    def __exit__(self, *_: object) -> None:
        CURRENT.reset(self._token)


async def test_ids_that_name_a_thing_are_attributes_and_nothing_else_of_an_argument_is() -> None:
    async with caravan() as seen:
        await seen.front().place("o1")
        await seen.running.quiet()
        fetch = seen.of("depot.Depot/fetch", Kind.SERVER).attributes
        assert fetch["app.thing_id"] == "t-o1"
        assert "well" not in fetch.values()
        for name in (
            "front.Front/place",
            "create front.Front.Placed",
            "process front.Front.Placed",
        ):
            assert seen.of(name).attributes["app.order_id"] == "o1"


async def test_a_retried_event_is_handled_in_the_trace_that_published_it() -> None:
    async with caravan() as seen:
        await seen.front().place("o1", "twice")
        await seen.running.quiet()
        created = seen.of("create front.Front.Placed")
        handled = [span for span in seen.spans() if span.shape.name == "process front.Front.Placed"]
        assert [span.attributes["borough.attempt"] for span in handled] == [1, 2]
        assert [span.failure is None for span in handled] == [False, True]
        assert {span.parent for span in handled} == {created.trace.span_id}
        for span in handled:
            assert list(span.links) == [(created.trace.trace_id, created.trace.span_id)]


@pytest.mark.parametrize("mode", MODES)
async def test_a_failure_is_a_fault_of_who_answers_and_a_declared_problem_is_none(
    mode: Mode,
) -> None:
    async with caravan(mode) as seen:
        with suppress(CallError):
            await seen.front().place("o1", "badly")
        with pytest.raises(Lost):
            await seen.front().place("o2", "lost")
        fetched = [
            span.failure
            for span in seen.spans()
            if span.shape.name == "depot.Depot/fetch" and span.shape.kind is Kind.SERVER
        ]
        broken, lost = fetched
        assert broken is not None
        assert lost is not None
        assert (broken.kind, broken.detail, broken.is_fault) == (
            "RuntimeError",
            "the shelf broke",
            True,
        )
        assert (lost.kind, lost.detail, lost.is_fault) == ("Lost", "It is not there", False)


@pytest.mark.parametrize("mode", MODES)
async def test_of_a_trace_that_is_not_sampled_nothing_is_recorded_while_all_is_well(
    mode: Mode,
) -> None:
    async with caravan(mode, ratio=0.0) as seen:
        await seen.front().place("o1")
        await seen.running.quiet()
        assert seen.spans() == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["badly", "mended", "late"])
async def test_a_call_that_ends_badly_or_late_is_recorded_with_all_that_led_to_it(
    mode: Mode, how: str
) -> None:
    async with caravan(mode, ratio=0.0, slow_s=0.04) as seen:
        with suppress(CallError):
            await seen.front().place("o1", how)
        await seen.running.quiet()
        assert all(span.is_partial and not span.trace.is_sampled for span in seen.spans())
        place = "front:server:front.Front/place"
        tree = [path[path.index(place) :] for path in seen.tree() if place in path]
        assert tree == [
            place,
            f"{place} > front:client:depot.Depot/fetch",
            f"{place} > front:client:depot.Depot/fetch > depot:server:depot.Depot/fetch",
        ]


@pytest.mark.parametrize("mode", MODES)
async def test_what_others_keep_in_the_trace_travels_along(mode: Mode) -> None:
    async with caravan(mode) as seen:
        with Sampled(state="vendor=1", baggage="tenant=acme"):
            told = await seen.running.client(Depot, caller="front").fetch("x")
        assert (told["state"], told["baggage"]) == ("vendor=1", "tenant=acme")
        assert told["trace"][3:35] == "a" * 32


async def test_a_schedule_begins_a_trace_of_its_own() -> None:
    async with caravan() as seen:
        await seen.running.tick("front.sweep")
        assert seen.of("depot.Depot/fetch", Kind.SERVER).trace.trace_id


async def test_a_stream_is_one_span_from_its_beginning_to_its_end() -> None:
    for mode in MODES:
        async with caravan(mode) as seen:
            items = [item async for item in seen.running.client(Depot, caller="front").count()]
            await asyncio.sleep(0)
            assert items == [0, 1, 2]
            assert seen.of("depot.Depot/count", Kind.SERVER).failure is None
            assert seen.of("depot.Depot/count", Kind.CLIENT).failure is None


async def test_a_body_that_is_run_until_nobody_is_in_its_way_is_a_transaction_like_others() -> None:
    async with caravan() as seen:
        with Sampled():
            database = seen.running.database("front")
            await database.transact(lambda tx: tx.one(str, "select upper($1)", "a"))
        assert [path.split(":")[-1] for path in seen.tree()] == ["transaction", "select"]
