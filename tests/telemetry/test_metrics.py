"""Metrics are counted for every call, sampled or not, and read by Prometheus's own parser."""

from __future__ import annotations

from typing import Any

from prometheus_client.openmetrics import parser

from borough.telemetry.durations import Durations, RecentDurations
from borough.testing import Mode
from tests.telemetry.caravan import caravan


async def test_every_call_is_counted_by_caller_also_where_no_trace_is_kept() -> None:
    for mode in ("local", "wire"):
        await _counted(mode)


async def _counted(mode: Mode) -> None:
    async with caravan(mode, ratio=0.0) as seen:
        for number in range(5):
            await seen.front().place(f"o{number}")
        await seen.running.quiet()
        text = (await seen.running.observer.metrics()).decode()
    families = families_of(text)
    calls = families["rpc_server_call_duration_seconds"]
    counts = {
        (sample.labels["rpc_service"], sample.labels.get("borough_caller")): sample.value
        for sample in calls.samples
        if sample.name.endswith("_count")
    }
    assert counts["depot.Depot", "front"] == 5
    assert families["borough_events_handled"].samples[0].value == 5
    assert families["borough_events_lag"].samples[0].value == 0
    assert families["process_memory_usage_bytes"].samples[0].value > 1e6
    assert ("rpc_client_call_duration_seconds" in families) is (mode == "wire")


async def test_a_bucket_has_the_trace_of_a_call_that_it_counts() -> None:
    async with caravan() as seen:
        await seen.front().place("o1")
        trace_id = seen.of("front.Front/place").trace.trace_id
        text = (await seen.running.observer.metrics()).decode()
    families = families_of(text)
    found = [
        sample.exemplar.labels["trace_id"]
        for sample in families["rpc_server_call_duration_seconds"].samples
        if sample.exemplar
    ]
    assert trace_id in found


def families_of(text: str) -> dict[str, Any]:
    """Every metric family, by name, as Prometheus reads it."""
    read: Any = parser.text_string_to_metric_families
    return {family.name: family for family in read(text)}


def test_what_is_put_down_is_counted_as_if_it_had_been_counted_at_once() -> None:
    at_once, later = Durations(), RecentDurations()
    for number in range(1, 2000):
        seconds = number * number * 3.7e-7
        at_once.add(seconds)
        later.recent.append(seconds)
    at_once.add(0.0)
    later.recent.append(0.0)
    later.settle()
    assert later.counts == at_once.counts
    assert abs(later.total_s - at_once.total_s) < 1e-6
    assert at_once.count == 2000


def test_a_quantile_is_within_its_bucket() -> None:
    durations = Durations()
    for number in range(1, 1001):
        durations.add(number / 1000)
    assert 0.25 < durations.quantile(0.5) <= 0.502
    assert durations.quantile(1.0) <= 1.0 * 2
    assert Durations().quantile(0.9) == 0.0


def test_what_is_not_below_its_bound_is_counted_exactly_wherever_its_bucket_ends() -> None:
    durations = RecentDurations(0.3)
    for took_s in (0.26, 0.299, 0.3, 0.31):
        durations.recent.append(took_s)
    durations.settle()
    durations.add(0.29)
    durations.add(0.5)
    assert (durations.slow, durations.count) == (3, 6)
