"""What a caller with nothing but grpcio meets at the public gRPC listener."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2

from borough.errors import ConfigurationError
from borough.gateway.process import Process
from tests.transports.grpc.plain import Plain, plain, problem_in
from tests.transports.grpc.serving import BOOTH, address, refused, served


async def raw(caller: Plain, name: str, data: bytes) -> Any:
    """Call a method with bytes for a message, and no deadline."""
    send: Any = caller.channel.unary_unary(f"/{BOOTH}/{name}")
    return await send(data)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_all_that_is_public_and_nothing_else(
    process: Process, version: str
) -> None:
    async with plain(address(process), version=version) as found:
        assert found.services == [
            BOOTH,
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
        answer = await found.call(f"{BOOTH}/Add", one=4, two=5)
        assert answer.result == 9
        with pytest.raises(KeyError):
            found.call(f"{BOOTH}/Inside")


async def test_an_internal_operation_is_as_absent_as_one_that_never_was(caller: Plain) -> None:
    for name in ("Inside", "Nothing"):
        error = await refused(raw(caller, name, b""))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_default_is_taken_where_nothing_is_given(caller: Plain) -> None:
    assert (await caller.call(f"{BOOTH}/Add", one=4)).result == 4
    assert (await caller.call(f"{BOOTH}/Blank")).result == "nothing"
    assert (await caller.call(f"{BOOTH}/Blank", note="")).result == ""
    look = await caller.call(f"{BOOTH}/Look", item=3, sizes=[1, 2], short=True)
    assert look.result == "3 10 0.0 (1, 2) True"


async def test_what_does_not_fit_is_told_with_each_field(caller: Plain) -> None:
    error = await refused(
        caller.call(f"{BOOTH}/Order", order={"items": [{"name": "a"}, {"name": "b", "count": -1}]})
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    details = problem_in(error)
    violations = BadRequest.FromString(details["google.rpc.BadRequest"].value).field_violations
    assert [each.field for each in violations] == ["order.items[1].count"]
    reason = ErrorInfo.FromString(details["google.rpc.ErrorInfo"].value)
    assert (reason.reason, reason.domain) == ("INVALID_REQUEST", "borough")


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("Order", {"order": {"items": [{"name": "a", "price": "NaN"}]}}, "not a finite number"),
        ("Order", {"order": {"items": [{"name": "a", "weight": float("inf")}]}}, "finite"),
        ("Order", {"order": {"items": [{"name": "a", "price": "cheap"}]}}, "decimal"),
        ("Order", {}, "missing required field `order`"),
        ("Login", {"name": ""}, "cannot be ''"),
        ("Login", {"name": ".."}, "cannot be '..'"),
        ("Page", {"language": "d\ne"}, "printable"),
    ],
)
async def test_a_wrong_value_is_refused_as_by_http(
    caller: Plain, name: str, fields: Any, words: str
) -> None:
    error = await refused(caller.call(f"{BOOTH}/{name}", **fields))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (error.details() or "")


async def test_an_answer_that_its_message_cannot_hold_is_a_failure_that_the_log_names(
    caller: Plain, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(caller.call(f"{BOOTH}/Add", one=2**63 - 1, two=1))
    assert error.code() is grpc.StatusCode.INTERNAL
    told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert len(told) == 1
    assert told[0].startswith("booth.Booth.add answered out of contract: ")
    assert str(2**63) in told[0]


async def test_a_time_without_a_zone_is_no_moment_of_utc(
    caller: Plain, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refused(caller.call(f"{BOOTH}/Moment"))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert (
        "booth.Booth.moment answered out of contract: a datetime without a time zone" in caplog.text
    )


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05\xff\xfe"])
async def test_bytes_that_are_no_message_are_refused(caller: Plain, data: bytes) -> None:
    error = await refused(raw(caller, "Login", data))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_above_the_limit_is_refused_and_the_connection_goes_on(
    caller: Plain,
) -> None:
    error = await refused(caller.call(f"{BOOTH}/File", content=b"x" * 20_001))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await caller.call(f"{BOOTH}/File", content=b"x" * 19_000)).result == 19_000


async def test_more_calls_than_a_connection_may_have_wait_at_the_caller(caller: Plain) -> None:
    calls = [caller.call(f"{BOOTH}/Add", one=number) for number in range(50)]
    assert [(await call).result for call in calls] == list(range(50))


async def test_a_stream_ends_after_its_last_item(process: Process, caller: Plain) -> None:
    items = [item.result async for item in caller.call(f"{BOOTH}/Count", until=3)]
    assert items == [0, 1, 2]
    assert [item async for item in caller.call(f"{BOOTH}/Count", until=0)] == []


async def test_a_stream_that_fails_ends_with_its_problem(caller: Plain) -> None:
    items: list[int] = []
    error = await refused(_taken(caller.call(f"{BOOTH}/Count", until=4), items))
    assert items == [0, 1, 2]
    details = problem_in(error)
    assert (
        caller.message("booth.v1.TooFar").FromString(details["booth.v1.TooFar"].value).number == 3
    )
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    error = await refused(_taken(caller.call(f"{BOOTH}/Count", until=5), items))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "inside" not in str(error)


async def _taken(call: Any, items: list[int]) -> None:
    """Put all that a stream gives into `items`."""
    async for item in call:
        items.append(item.result)  # noqa: PERF401  # what came before a failure counts


async def until_waiting(service: Any, count: int = 1) -> None:
    """Until so many calls of `Wait` have begun."""
    async with asyncio.timeout(10):
        while service.waits < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def test_leaving_a_stream_closes_the_generator_of_the_handler(
    process: Process, caller: Plain
) -> None:
    service: Any = process.host.services["booth"].instance
    call = caller.call(f"{BOOTH}/Count", until=1_000_000)
    async for _ in call:
        break
    call.cancel()
    async with asyncio.timeout(5):
        await service.closed_stream.wait()


@pytest.mark.parametrize("leaves", ["call", "connection"])
async def test_a_caller_that_leaves_cancels_the_handler(tmp_path: Path, leaves: str) -> None:
    hour = {"limits__longest_timeout_s": 3600, "limits__default_timeout_s": 3600}
    process = await served(tmp_path, **hour)  # nothing else ends the handler
    try:
        async with plain(address(process)) as caller:
            service: Any = process.host.services["booth"].instance
            call = caller.call(f"{BOOTH}/Wait", timeout=None)
            await until_waiting(service)
            if leaves == "call":
                call.cancel()
            else:
                await caller.channel.close()
            async with asyncio.timeout(20):
                await service.cancelled.wait()
            assert call.done()
    finally:
        await process.stop()


async def test_the_time_left_travels(caller: Plain) -> None:
    for asked_s, given_ms in ((0.9, 900), (None, 2_000), (60, 3_000)):
        begun = time.monotonic()
        left_ms = (await caller.call(f"{BOOTH}/LeftMs", timeout=asked_s)).result
        took_ms = (time.monotonic() - begun) * 1000
        assert given_ms - took_ms - 10 <= left_ms <= given_ms + 10


async def test_a_deadline_ends_the_call_and_cancels_the_handler(
    process: Process, caller: Plain
) -> None:
    service: Any = process.host.services["booth"].instance
    left_s = 0.1
    while True:
        error = await refused(caller.call(f"{BOOTH}/Wait", timeout=left_s))
        if service.waits:
            break
        left_s *= 3  # a machine that is busy for as long lets nothing begin
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        await service.cancelled.wait()
    error = await refused(raw(caller, "Wait", b""))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # the default, told by the callee
    assert json.loads(HttpBody.FromString(problem_in(error)["google.api.HttpBody"].value).data)[
        "code"
    ] == ("deadline-exceeded")


async def test_who_is_signed_in_is_told_by_a_bearer_token(caller: Plain) -> None:
    token = (await caller.call(f"{BOOTH}/Login", name="anna")).result
    signed = [("authorization", f"Bearer {token}")]
    assert (await caller.call(f"{BOOTH}/Me", metadata=signed)).result == "anna"
    for metadata in ([], [("authorization", "Bearer forged")]):
        error = await refused(caller.call(f"{BOOTH}/Me", metadata=metadata))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_nobody_claims_to_be_a_service_at_the_public_listener(
    process: Process, caller: Plain
) -> None:
    proof = [(n.decode(), v.decode()) for n, v in process.tokens.first_headers("yard")]
    claims = [*proof, ("borough-principal", "eyJzdWJqZWN0IjoiYW5uYSJ9")]
    error = await refused(caller.call(f"{BOOTH}/Me", metadata=claims))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_repeat_with_the_same_key_gets_the_stored_answer(caller: Plain) -> None:
    token = (await caller.call(f"{BOOTH}/Login", name="anna")).result
    metadata = [("authorization", f"Bearer {token}"), ("idempotency-key", "k1")]
    first = (await caller.call(f"{BOOTH}/Pay", cents=5, metadata=metadata)).result
    assert (await caller.call(f"{BOOTH}/Pay", cents=5, metadata=metadata)).result == first
    error = await refused(caller.call(f"{BOOTH}/Pay", cents=6, metadata=metadata))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    reason = ErrorInfo.FromString(problem_in(error)["google.rpc.ErrorInfo"].value)
    assert reason.reason == "KEY_REUSED"


async def test_the_trace_goes_on(caller: Plain) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    metadata = [("traceparent", f"00-{trace}-00f067aa0ba902b7-01")]
    assert (await caller.call(f"{BOOTH}/Notice", number=1, metadata=metadata)).result == trace


@pytest.mark.parametrize(("share", "spans"), [(1.0, 1), (0.0, 0)])
@pytest.mark.parametrize("flags", [None, "00", "01"])
async def test_what_is_recorded_is_decided_here_and_not_by_a_stranger(
    tmp_path: Path, share: float, spans: int, flags: str | None
) -> None:
    process = await served(tmp_path, telemetry__ratio=share)
    try:
        recorder = process.host.recorder
        assert recorder is not None
        traced = [("traceparent", f"00-{'1' * 32}-{'2' * 16}-{flags}")] if flags else []
        async with plain(address(process)) as caller:
            before = recorder.recorded
            await caller.call(f"{BOOTH}/Add", one=1, metadata=traced)
        assert recorder.recorded - before == spans
    finally:
        await process.stop()


async def test_a_reply_has_its_header_fields_as_metadata(caller: Plain) -> None:
    call = caller.call(f"{BOOTH}/Page", seat="12")
    assert (await call).result == "page en"
    told = dict(await call.initial_metadata())
    assert told["etag"] == '"7,"'
    assert told["set-cookie"].startswith("seat=12")


async def test_the_rate_limit_counts_calls_and_reflection_with_requests(tmp_path: Path) -> None:
    process = await served(tmp_path, edge__rate_limit="20/h")
    try:
        async with plain(address(process)) as caller:
            asked = 1 + len(caller.services)
            for _ in range(20 - asked):
                await caller.call(f"{BOOTH}/Add", one=1)
            error = await refused(caller.call(f"{BOOTH}/Add", one=1))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailers = dict(error.trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
    finally:
        await process.stop()


async def test_a_service_at_its_limit_refuses(tmp_path: Path) -> None:
    process = await served(
        tmp_path, limits__calls_in_flight=2, limits__calls_waiting=0, grpc__streams=50
    )
    try:
        async with plain(address(process)) as caller:
            service: Any = process.host.services["booth"].instance
            waiting = [caller.call(f"{BOOTH}/Wait", timeout=60) for _ in range(2)]
            await until_waiting(service, 2)
            error = await refused(caller.call(f"{BOOTH}/Add", one=1))
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            for call in waiting:
                call.cancel()
            async with asyncio.timeout(5):
                await service.cancelled.wait()
            assert (await caller.call(f"{BOOTH}/Add", one=1)).result == 1
    finally:
        await process.stop()


async def test_draining_finishes_what_runs_and_says_so_to_health(tmp_path: Path) -> None:
    process = await served(tmp_path, limits__drain_s=30)  # far beyond the end of what runs
    async with plain(address(process)) as caller:
        watch: Any = caller.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service=BOOTH))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        slow = caller.call(f"{BOOTH}/Wait", timeout=2)
        await until_waiting(process.host.services["booth"].instance)
        stopping = asyncio.ensure_future(process.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        error = await refused(slow)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # it ran until its own end
        async with asyncio.timeout(10):
            await stopping


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"])
async def test_a_connection_that_says_nothing_does_not_hold_up_the_end(
    tmp_path: Path, said: bytes
) -> None:
    process = await served(tmp_path, limits__drain_s=120)
    host, _, port = address(process).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(said)
    await reader.readexactly(9)  # the settings of the server: it is known there
    async with asyncio.timeout(60):
        await process.stop()
        await reader.read()
    writer.close()


async def test_health_knows_the_services_that_are_here(caller: Plain) -> None:
    check: Any = caller.channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    for name in ("", BOOTH):
        answer = await check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    error = await refused(check(health_pb2.HealthCheckRequest(service="nobody")))
    assert error.code() is grpc.StatusCode.NOT_FOUND


TALKS = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
]


@pytest.mark.parametrize("path", TALKS)
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x0a" + bytes(17_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_garbage_to_health_and_reflection_is_the_callers_fault(
    process: Process, caller: Plain, path: str, data: bytes, code: grpc.StatusCode
) -> None:
    send: Any = caller.channel.unary_unary(f"/{path}")
    assert (await refused(send(data))).code() is code


async def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path, process: Process) -> None:
    port = int(address(process).rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"Port {port} on 127.0.0.1 is in use"):
        await served(tmp_path / "second", grpc__port=port)


async def test_what_is_no_http2_is_dropped(process: Process) -> None:
    host, _, port = address(process).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + struct.pack("!I", 7))
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    async with plain(address(process)) as caller:
        assert (await caller.call(f"{BOOTH}/Add", one=1)).result == 1
