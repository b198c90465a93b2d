"""Whether a trace is kept is decided once, by its id, and by us."""

from __future__ import annotations

from pathlib import Path

import pytest

from borough.clock import SystemClock
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.runtime.recording import make_recorder
from borough.services.context import Call
from borough.telemetry.recorder import Recorder
from borough.telemetry.sampling import Sampler
from borough.telemetry.span import Kind, Shape
from borough.telemetry.trace import TraceContext, read_baggage, travelling
from borough.transports.http.client import HttpClient
from tests.telemetry.caravan import caravan

CLOCK = SystemClock()
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_a_share_of_traces_is_kept_and_each_the_same_everywhere(ratio: float) -> None:
    here, there = Sampler(ratio), Sampler(ratio)
    begun = [here.start(CLOCK.token) for _ in range(4000)]
    kept = [trace for trace in begun if trace.is_sampled]
    assert abs(len(kept) / len(begun) - ratio) < 0.04
    assert all(there.keeps(trace.trace_id) is trace.is_sampled for trace in begun)


@pytest.mark.parametrize(("ratio", "asked", "flags"), [(0.0, "01", "00"), (1.0, "00", "01")])
async def test_at_the_edge_a_stranger_keeps_its_trace_and_decides_nothing(
    ratio: float, asked: str, flags: str
) -> None:
    async with caravan(ratio=ratio) as seen:
        client = HttpClient()
        host, _, port = seen.running.edge_url.removeprefix("http://").partition(":")
        headers = ((b"traceparent", f"00-{TRACE}-{SPAN}-{asked}".encode()), (b"baggage", b"a=b"))
        answer = await client.send((host, int(port)), "POST", "/front/orders/o1", headers)
        await client.close()
        assert answer.status == 200
        await seen.running.quiet()
        traces = {(span.trace.trace_id, span.trace.baggage) for span in seen.spans()}
        assert traces == ({(TRACE, "")} if flags == "01" else set())


def recorder_of(folder: Path, environment: dict[str, str], **options: object) -> Recorder | None:
    flags = {f"telemetry.{name}": value for name, value in options.items()}
    return make_recorder(Configuration.load(folder, environment, flags), CLOCK)


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio"),
    [
        ("always_on", "", 1.0),
        ("parentbased_always_off", "", 0.0),
        ("traceidratio", "0.2", 0.2),
        ("parentbased_traceidratio", "0.5", 0.5),
    ],
)
def test_the_variables_of_opentelemetry_count_where_no_option_is_given(
    tmp_path: Path, sampler: str, argument: str, ratio: float
) -> None:
    environment = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    found = recorder_of(tmp_path, environment)
    assert found is not None
    assert found.sampler.ratio == ratio
    given = recorder_of(tmp_path, environment, ratio=0.75)
    assert given is not None
    assert given.sampler.ratio == 0.75


def test_telemetry_can_be_switched_off(tmp_path: Path) -> None:
    assert recorder_of(tmp_path, {"OTEL_SDK_DISABLED": "true"}) is None
    assert recorder_of(tmp_path, {}, record=False) is None


@pytest.mark.parametrize(("sampler", "argument"), [("jaeger", "1"), ("traceidratio", "7")])
def test_a_sampler_that_there_is_not_is_refused_with_those_that_there_are(
    tmp_path: Path, sampler: str, argument: str
) -> None:
    environment = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    with pytest.raises(ConfigurationError, match="Or set telemetry"):
        recorder_of(tmp_path, environment)


def test_what_travels_beside_a_trace_is_bounded_and_read_by_name() -> None:
    trace = TraceContext(TRACE, SPAN, is_sampled=True)
    assert travelling(trace, "x" * 513, "y" * 8193) is trace
    assert travelling(trace, "a\nb", None) is trace
    assert travelling(trace, "vendor=1", "a=b").state == "vendor=1"
    assert read_baggage("a=b%20c;meta, d = e,,broken") == {"a": "b c", "d": "e"}
    carried = TraceContext(TRACE, SPAN, True, "", "tenant=acme")
    assert Call("o", "s", None, None, 1.0, carried).baggage == {"tenant": "acme"}


def test_a_full_ring_drops_the_oldest_and_says_so_and_asks_to_be_emptied_before() -> None:
    recorder = Recorder(CLOCK.monotonic, CLOCK.token, room=10)
    asked: list[int] = []
    recorder.hurry = lambda: asked.append(recorder.waiting)
    shape, root = Shape("a", "b", Kind.INTERNAL, {}, ("n",)), recorder.start()
    for number in range(25):
        recorder.note(shape, root, 0.0, values=(number,))
    assert asked == [5]
    assert recorder.dropped == 15
    assert [span.values[0] for span in recorder.take()] == list(range(15, 25))
    assert (recorder.waiting, recorder.dropped) == (0, 15)
