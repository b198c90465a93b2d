"""What `borough run` keeps: taken over OTLP from whoever sends it, bounded, and found again."""

from __future__ import annotations

import asyncio
import gzip
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from borough.clock import SystemClock
from borough.observing.keeper import Keeper
from borough.observing.outlet import Outlet
from borough.observing.searching import TraceFilter, find_traces, observed_edges, trace_of
from borough.observing.store import FILE, TelemetryFile
from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_reading import read_traces
from borough.telemetry.otlp_traces import SpanEncoder
from borough.telemetry.protobuf import delimited
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span
from borough.telemetry.trace import TraceContext
from borough.transports.http.client import ClientResponse, HttpClient
from tests.telemetry.caravan import caravan

CLOCK = SystemClock()
ENCODER = SpanEncoder(
    lambda service: Resource({"service.name": service, "service.instance.id": "one"}),
    Scope("borough", "0"),
)
MIB = 1024 * 1024


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    keeper = Keeper(tmp_path, CLOCK, 64 * MIB)
    await keeper.open()
    yield keeper
    await keeper.close()


@pytest.fixture
def file(tmp_path: Path, keeper: Keeper) -> Iterator[TelemetryFile]:
    file = TelemetryFile(tmp_path / FILE)
    yield file
    file.close()


async def post(
    keeper: Keeper, path: str, body: bytes, *fields: tuple[bytes, bytes]
) -> ClientResponse:
    client = HttpClient()
    port = int(keeper.url.rpartition(":")[2])
    headers = fields or ((b"content-type", b"application/x-protobuf"),)
    try:
        return await client.send(("127.0.0.1", port), "POST", path, headers, body)
    finally:
        await client.close()


def foreign_batch() -> tuple[str, bytes]:
    """What OpenTelemetry's own SDK sends: a trace of two spans that has failed."""
    memory = InMemorySpanExporter()
    resource = SdkResource({"service.name": "ledger", "service.instance.id": "node-1"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("t")
    with tracer.start_as_current_span("POST /entries", kind=SpanKind.SERVER) as span:
        span.set_attributes(
            {"app.order_id": "o-7", "n": -3, "share": 0.5, "ok": True, "list": [1, 2]}
        )
        with tracer.start_as_current_span("insert") as inner:
            inner.set_status(Status(StatusCode.ERROR, "disk full"))
    spans = memory.get_finished_spans()
    return f"{span.get_span_context().trace_id:032x}", encode_spans(spans).SerializeToString()


async def test_a_service_in_another_language_is_found_by_the_id_of_an_order(
    keeper: Keeper, file: TelemetryFile
) -> None:
    trace_id, batch = foreign_batch()
    packed = gzip.compress(batch[:20]) + gzip.compress(batch[20:])  # of two members
    answer = await post(
        keeper,
        "/v1/traces",
        packed,
        (b"content-type", b"application/x-protobuf"),
        (b"content-encoding", b"gzip"),
    )
    assert answer.status == 200
    for text in ("o-7", "order_id=o-7", "app.order_id=o-7", trace_id):
        (found,) = find_traces(file, TraceFilter(text=text))
        assert (found.trace_id, found.service, found.error) == (trace_id, "ledger", True)
        assert found.why == "ledger failed in insert with an error: disk full"
    view = trace_of(file, trace_id[:8])
    assert view is not None
    assert [(row.depth, row.span.name) for row in view.rows] == [
        (0, "POST /entries"),
        (1, "insert"),
    ]
    attributes = view.rows[0].span.attributes
    assert (attributes["n"], attributes["share"], attributes["ok"]) == (-3, 0.5, True)
    assert attributes["list"] == "[1,2]"


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/v1/profiles", b"", b"application/x-protobuf", 404),
        ("/v1/traces", b"{}", b"application/json", 415),
    ],
)
async def test_what_is_not_otlp_is_refused(
    keeper: Keeper, path: str, body: bytes, kind: bytes, status: int
) -> None:
    assert (await post(keeper, path, body, (b"content-type", kind))).status == status


async def test_gzip_that_breaks_off_or_holds_too_much_is_refused(keeper: Keeper) -> None:
    fields = (b"content-type", b"application/x-protobuf"), (b"content-encoding", b"gzip")
    packed = gzip.compress(foreign_batch()[1])
    broken = packed[:-9], packed + packed[:9], packed[:-9] + bytes(9), b"no gzip", b""
    large = gzip.compress(bytes(1 << 26)), gzip.compress(bytes(1 << 20)) * 64
    for status, body in (*((400, each) for each in broken), *((413, each) for each in large)):
        assert (await post(keeper, "/v1/traces", body, *fields)).status == status


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("LocalHost", 200)])
async def test_another_name_for_this_machine_is_refused(
    keeper: Keeper, host: str, status: int
) -> None:
    port = int(keeper.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /v1/traces HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 0\r\n"
        "Content-Type: application/x-protobuf\r\n\r\n".encode()
    )
    assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()


async def test_what_the_file_is_too_slow_for_is_refused(keeper: Keeper, tmp_path: Path) -> None:
    fields = ((b"content-type", b"application/x-protobuf"),)
    client = HttpClient()
    address = ("127.0.0.1", int(keeper.url.rpartition(":")[2]))
    holder = apsw.Connection(str(tmp_path / FILE))
    holder.execute("begin immediate")
    try:
        sent = [
            asyncio.ensure_future(client.send(address, "POST", "/v1/traces", fields, b""))
            for _ in range(17)
        ]
        done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result().status for each in done] == [503]
    finally:
        holder.execute("rollback")
        holder.close()
    assert {each.status for each in await asyncio.gather(*sent)} == {200, 503}
    await client.close()


async def test_what_cannot_be_written_is_refused(
    keeper: Keeper, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with apsw.Connection(str(tmp_path / FILE)) as broken:
        broken.execute("drop table batches")
    assert (await post(keeper, "/v1/traces", b"")).status == 500
    outlet = Outlet("the keeper", keeper, CLOCK)
    outlet.start()
    outlet.put("traces", b"", 3)
    await outlet.stop(20)
    assert (outlet.sent, outlet.refused) == (0, 3)
    assert "the keeper has refused traces: the store of telemetry cannot" in caplog.text


async def test_a_batch_that_cannot_be_read_hides_no_other(
    keeper: Keeper, file: TelemetryFile
) -> None:
    trace_id, batch = foreign_batch()
    await post(keeper, "/v1/traces", b"\x0a\xff\xff\xff")
    await post(keeper, "/v1/traces", batch)
    await post(keeper, "/v1/traces", batch[:-5])
    assert [found.trace_id for found in find_traces(file, TraceFilter())] == [trace_id]


def spans_of(number: int, count: int = 200) -> bytes:
    shape = Shape("orders", "orders.Orders/place", Kind.SERVER, {}, ("app.order_id",))
    recorder = Recorder(CLOCK.monotonic, CLOCK.token)
    spans: list[Span] = []
    for place in range(count):
        trace = recorder.start().child(recorder.new_id())
        spans.append(Span(shape, trace, "", 1, 2, values=(f"o-{number}-{place}",)))
    return ENCODER.encode(spans, number * 10**9)


@pytest.mark.parametrize("looks", [False, True])
def test_the_file_is_bounded_and_the_oldest_goes_first(tmp_path: Path, looks: bool) -> None:
    file = TelemetryFile(tmp_path / FILE, MIB)
    for number in range(70):
        file.write("traces", spans_of(number), (number + 1) * 10**9)
        if looks:
            file.settle("traces")
        assert file.size() <= MIB + 256 * 1024
    assert find_traces(file, TraceFilter(text="o-69-7"))
    assert not find_traces(file, TraceFilter(text="o-0-7"))
    file.close()


def test_a_trace_is_found_by_service_operation_status_and_duration(tmp_path: Path) -> None:
    file = TelemetryFile(tmp_path / FILE)
    server = Kind.SERVER
    ids = ["1" * 32, "2" * 32]
    spans = [
        Span(
            Shape("front", "front.Front/place", server),
            TraceContext(ids[0], "1" * 16, is_sampled=True),
            "",
            0,
            0.5,
        ),
        Span(
            Shape("depot", "depot.Depot/fetch", server),
            TraceContext(ids[1], "2" * 16, is_sampled=True),
            "",
            1,
            1.01,
            Failure("ServiceFailure", "broke"),
        ),
    ]
    file.write("traces", ENCODER.encode(spans, 0), 1)

    def found(asked: TraceFilter) -> list[str]:
        return [each.trace_id for each in find_traces(file, asked)]

    assert found(TraceFilter()) == [ids[1], ids[0]]
    assert found(TraceFilter(service="front")) == [ids[0]]
    assert found(TraceFilter(operation="fetch")) == [ids[1]]
    assert found(TraceFilter(status="error")) == [ids[1]]
    assert found(TraceFilter(status="ok")) == [ids[0]]
    assert found(TraceFilter(longer_than_ms=100)) == [ids[0]]
    assert found(TraceFilter(shorter_than_ms=100)) == [ids[1]]
    assert found(TraceFilter(since_ns=int(0.9e9))) == [ids[1]]
    assert found(TraceFilter(limit=1)) == [ids[1]]
    assert found(TraceFilter(text="nothing")) == []
    file.close()


def test_a_waterfall_shows_what_the_answer_waited_for_and_says_why(tmp_path: Path) -> None:
    trace = TraceContext("3" * 32, "1" * 16, is_sampled=True)

    def span(place: str, parent: str, name: str, began: float, ended: float) -> Span:
        return Span(
            Shape(name.partition(".")[0], name, Kind.SERVER),
            trace.child(place * 16),
            parent,
            began,
            ended,
        )

    root = "1" * 16
    file = TelemetryFile(tmp_path / FILE)
    file.write(
        "traces",
        ENCODER.encode(
            [
                span("1", "", "front.place", 0, 1.0),
                span("2", root, "depot.quick", 0.1, 0.2),
                span("3", root, "bank.slow", 0.1, 0.9),
                span("4", "3" * 16, "bank.disk", 0.15, 0.85),
                span("5", root, "mail.later", 0.95, 3.0),
            ],
            0,
        ),
        1,
    )
    view = trace_of(file, "3" * 32)
    assert view is not None
    assert [row.span.name for row in view.rows if row.is_critical] == [
        "front.place",
        "bank.slow",
        "bank.disk",
    ]
    assert (view.duration_ms, view.total_ms) == (1000, 3000)
    assert view.why == "70 % of 1.0 s were spent in bank.disk (bank)"
    file.close()


def test_what_is_written_is_read_as_it_was() -> None:
    shape = Shape("a", "b", Kind.CONSUMER, {"x": "é", "n": -1}, ("f", "t"))
    trace = TraceContext("4" * 32, "5" * 16, is_sampled=True)
    given = Span(
        shape, trace, "6" * 16, 1, 2, Failure("E", "why"), (0.25, False), [("7" * 32, "8" * 16)]
    )
    (read,) = read_traces(ENCODER.encode([given], 10**9))
    assert (read.trace_id, read.span_id, read.parent) == ("4" * 32, "5" * 16, "6" * 16)
    assert (read.began_ns, read.ended_ns) == (2 * 10**9, 3 * 10**9)
    assert (read.service, read.instance, read.name, read.kind) == ("a", "one", "b", 5)
    assert (read.status, read.message) == (2, "why")
    assert read.attributes == {"x": "é", "n": -1, "f": 0.25, "t": False, "error.type": "E"}
    assert read.links == (("7" * 32, "8" * 16),)


async def test_a_running_system_is_kept_with_its_events_and_its_edges(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path, CLOCK, 64 * MIB)
    await keeper.open()
    async with caravan(keeper=keeper.url, every_s=0.05, metrics_every_s=0.1) as seen:
        await seen.front().place("o-1", "twice")
        await seen.running.quiet()
    await keeper.close()
    file = TelemetryFile(tmp_path / FILE)
    (found,) = find_traces(file, TraceFilter(text="order_id=o-1"))
    assert found.services == ("front", "depot", "crier")
    assert found.why.endswith(
        "; afterwards crier failed in process front.Front.Placed with RuntimeError: hoarse"
    )
    view = trace_of(file, found.trace_id)
    assert view is not None
    said = [line.text for row in view.rows for line in row.lines]
    assert any("crier.cry failed on event" in text for text in said)
    edges = {(edge.kind, edge.caller, edge.callee): edge for edge in observed_edges(file)}
    assert edges["call", "front", "depot"].count == 1
    heard = edges["event", "front", "crier"]
    assert (heard.count, heard.failures) == (2, 1)
    file.close()


def test_processes_that_follow_each_other_are_no_faster_together(tmp_path: Path) -> None:
    file = TelemetryFile(tmp_path / FILE)
    for instance, at_s, count in (("a", 1, 0), ("a", 11, 100), ("b", 11, 0), ("b", 21, 100)):
        metrics = metrics_pb2.MetricsData()
        group = metrics.resource_metrics.add()
        for name, value in (("service.name", "depot"), ("service.instance.id", instance)):
            group.resource.attributes.add(key=name).value.string_value = value
        metric = group.scope_metrics.add().metrics.add(name="rpc.server.call.duration")
        point = metric.exponential_histogram.data_points.add(count=count)
        point.time_unix_nano = at_s * 10**9
        file.write("metrics", metrics.SerializeToString(), at_s)
    (edge,) = observed_edges(file)
    assert edge.per_s == 10
    file.close()


async def test_a_file_that_is_none_is_told_in_a_sentence(tmp_path: Path) -> None:
    from borough.errors import ConfigurationError

    (tmp_path / FILE).write_text("nonsense " * 1000)
    keeper = Keeper(tmp_path, CLOCK, MIB)
    with pytest.raises(ConfigurationError, match="remove it"):
        await keeper.open()
    await keeper.close()


def foreign_span(
    began_ns: int, *, kind: int = 2, name: str = "x", trace_id: bytes = b"1" * 16
) -> trace_pb2.Span:
    return trace_pb2.Span(
        trace_id=trace_id,
        span_id=b"2" * 8,
        name=name,
        kind=kind,  # type: ignore[arg-type]
        start_time_unix_nano=began_ns,
        end_time_unix_nano=began_ns,
    )


def foreign_spans(*spans: trace_pb2.Span) -> bytes:
    scopes = [trace_pb2.ScopeSpans(spans=spans)]
    group = trace_pb2.ResourceSpans(scope_spans=scopes)
    return trace_pb2.TracesData(resource_spans=[group]).SerializeToString()


def deep_batch(depth: int) -> bytes:
    """A span with an attribute `k` of lists in lists."""
    value = delimited(1, b'"a"')
    for _ in range(depth):
        value = delimited(5, delimited(1, value))
    attribute = delimited(9, delimited(1, b"k") + delimited(2, value))
    span = foreign_span(1).SerializeToString() + attribute
    return delimited(1, delimited(2, delimited(2, span)))


@pytest.mark.parametrize(
    "strange",
    [foreign_spans(foreign_span(2**64 - 1)), deep_batch(3000)],
    ids=["a time beyond SQLite's", "values in values"],
)
def test_a_strange_batch_is_no_obstacle_to_those_before_it(tmp_path: Path, strange: bytes) -> None:
    file = TelemetryFile(tmp_path / FILE)
    trace_id, batch = foreign_batch()
    file.write("traces", batch, 1)
    file.write("traces", strange, 2)
    assert trace_id in [found.trace_id for found in find_traces(file, TraceFilter())]
    file.close()


def span_that_has(value: float, ended_ns: int = 2) -> bytes:
    """A trace of one span of somebody else, with an attribute `ratio`."""
    span = foreign_span(2)
    span.end_time_unix_nano = ended_ns
    span.attributes.add(key="ratio").value.double_value = value
    return foreign_spans(span)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_shown_as_its_name(tmp_path: Path, value: float) -> None:
    file = TelemetryFile(tmp_path / FILE)
    file.write("traces", span_that_has(value), 1)
    (found,) = find_traces(file, TraceFilter())
    view = trace_of(file, found.trace_id)
    assert view is not None
    assert view.rows[0].span.attributes["ratio"] == str(value)
    file.close()


def test_what_ended_before_it_began_took_no_time(tmp_path: Path) -> None:
    file = TelemetryFile(tmp_path / FILE)
    file.write("traces", span_that_has(0.5, ended_ns=1), 1)
    (found,) = find_traces(file, TraceFilter())
    assert found.duration_ms == 0
    file.close()


def test_an_inner_value_is_told_as_json() -> None:
    (span,) = read_traces(deep_batch(2))
    assert span.attributes["k"] == r'[["\"a\""]]'


def test_a_span_of_a_clock_that_runs_ahead_costs_no_other_its_place(tmp_path: Path) -> None:
    file = TelemetryFile(tmp_path / FILE, MIB)
    file.write("traces", foreign_spans(foreign_span(2**63 - 1)), 1)
    file.settle("traces")
    for number in range(70):
        file.write("traces", spans_of(number), (number + 1) * 10**9)
        file.settle("traces")
    assert file.size() > MIB * 0.7
    assert find_traces(file, TraceFilter(text="o-69-7"))
    file.close()


@pytest.mark.parametrize("looks", [False, True])
def test_after_a_clock_was_put_back_what_is_new_stays_and_what_was_before_goes(
    tmp_path: Path, looks: bool
) -> None:
    file, day = TelemetryFile(tmp_path / FILE, MIB), 86_400
    for number in [*range(3 * day, 3 * day + 40), *range(40)]:
        file.write("traces", spans_of(number), (number + 1) * 10**9)
        if looks:
            file.settle("traces")
    assert find_traces(file, TraceFilter(text="o-39-7"))
    assert find_traces(file, TraceFilter(text="o-36-7"))
    assert not find_traces(file, TraceFilter(text=f"o-{3 * day}-7"))
    file.close()


def test_a_service_that_was_refused_at_the_door_is_found_by_its_name(tmp_path: Path) -> None:
    file = TelemetryFile(tmp_path / FILE)
    door = Shape("edge", "POST /payments", Kind.SERVER, {"peer.service": "payments"})
    refused = Failure("unavailable", "No replica of payments takes calls now")
    spans = [
        Span(
            door,
            TraceContext(f"{number:032x}", f"{number:016x}", is_sampled=True),
            "",
            0.0,
            1.0,
            failure,
        )
        for number, failure in enumerate((refused, None), 1)
    ]
    file.write("traces", ENCODER.encode(spans, 0), 1)
    (found,) = find_traces(file, TraceFilter(service="payments", status="error"))
    assert found.trace_id == f"{1:032x}"
    assert len(find_traces(file, TraceFilter(service="payments"))) == 2
    assert find_traces(file, TraceFilter(service="pay")) == []
    assert find_traces(file, TraceFilter(service='pay"ments')) == []
    file.close()
