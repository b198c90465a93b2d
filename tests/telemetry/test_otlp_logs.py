"""Log lines as OTLP: what the official classes read is what was said, field by field."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import (
    SEVERITY_NUMBER_DEBUG,
    SEVERITY_NUMBER_ERROR,
    SEVERITY_NUMBER_FATAL,
    SEVERITY_NUMBER_INFO,
    SEVERITY_NUMBER_TRACE,
    SEVERITY_NUMBER_WARN,
    LogsData,
)

from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_logs import LogLine, encode_logs
from borough.telemetry.trace import TraceContext
from tests.telemetry.test_otlp_traces import SPAN, TRACE, attributes_of

AT_NS = 1_700_000_000_000_000_003


def line(**fields: Any) -> LogLine:
    known: dict[str, Any] = {
        "at_ns": AT_NS,
        "level": logging.INFO,
        "level_name": "INFO",
        "logger": "shop.orders",
        "text": "an order",
        "service": "orders",
    }
    return LogLine(**{**known, **fields})


def decoded(*lines: LogLine) -> LogsData:
    """As the official classes read them."""
    encoded = encode_logs(
        lines, lambda service: Resource({"service.name": service}), Scope("borough", "0.1")
    )
    return LogsData.FromString(encoded)


def one(given: LogLine) -> Any:
    """The only record."""
    ((record,),) = (
        scope.log_records for each in decoded(given).resource_logs for scope in each.scope_logs
    )
    return record


def test_every_field_of_a_line_is_where_the_specification_has_it() -> None:
    trace = TraceContext(TRACE, SPAN, is_sampled=True)
    record = one(line(trace=trace, attributes={"order_id": "o1", "count": 2, "paid": True}))
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (AT_NS, AT_NS)
    assert (record.severity_number, record.severity_text) == (SEVERITY_NUMBER_INFO, "INFO")
    assert record.body.string_value == "an order"
    assert attributes_of(record.attributes) == {
        "logger.name": "shop.orders",
        "order_id": "o1",
        "count": 2,
        "paid": True,
    }
    assert (record.trace_id.hex(), record.span_id.hex(), record.flags) == (TRACE, SPAN, 1)


def test_a_line_outside_of_a_trace_names_none() -> None:
    record = one(line())
    assert (record.trace_id, record.span_id, record.flags) == (b"", b"", 0)


def test_lines_of_each_service_stand_below_its_resource() -> None:
    data = decoded(line(text="one"), line(service="search", text="two"), line(text="three"))
    assert [
        (attributes_of(each.resource.attributes)["service.name"], scope.scope.name, texts)
        for each in data.resource_logs
        for scope in each.scope_logs
        for texts in [[record.body.string_value for record in scope.log_records]]
    ] == [("orders", "borough", ["one", "three"]), ("search", "borough", ["two"])]


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (5, SEVERITY_NUMBER_TRACE),
        (logging.DEBUG, SEVERITY_NUMBER_DEBUG),
        (logging.INFO, SEVERITY_NUMBER_INFO),
        (25, SEVERITY_NUMBER_INFO),
        (logging.WARNING, SEVERITY_NUMBER_WARN),
        (logging.ERROR, SEVERITY_NUMBER_ERROR),
        (logging.CRITICAL, SEVERITY_NUMBER_FATAL),
    ],
)
def test_a_level_has_the_severity_that_means_the_same(level: int, severity: int) -> None:
    assert one(line(level=level)).severity_number == severity


@settings(max_examples=50, deadline=None)
@given(
    st.text(max_size=200), st.dictionaries(st.text(max_size=9), st.text(max_size=50), max_size=4)
)
def test_any_text_comes_out_as_it_went_in(text: str, attributes: dict[str, str]) -> None:
    record = one(line(text=text, attributes={f"own.{key}": attributes[key] for key in attributes}))

    def readable(given: str) -> str:
        return given.encode("utf-8", "replace").decode()

    assert record.body.string_value == readable(text)
    found = attributes_of(record.attributes)
    assert {readable(f"own.{key}"): readable(attributes[key]) for key in attributes}.items() <= (
        found.items()
    )
