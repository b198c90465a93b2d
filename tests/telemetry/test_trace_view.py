"""What is said of one trace in a line, and whether all of it is here, from spans that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from borough.observing.searching import TraceFilter, find_traces
from borough.observing.store import FILE, TelemetryFile
from borough.observing.trace_view import TraceView, view_of
from borough.telemetry.otlp import Resource, Scope
from borough.telemetry.otlp_reading import ReadSpan
from borough.telemetry.otlp_traces import SpanEncoder
from borough.telemetry.span import Kind, Shape, Span, Value
from borough.telemetry.trace import TraceContext

SECOND = 1_000_000_000


def seen_span(
    number: int, parent: int, service: str, times: tuple[float, float], **facts: str | int
) -> ReadSpan:
    """A span of a trace; one with an `error` has failed with that, and a `message` may say more."""
    error, message = facts.pop("error", None), str(facts.pop("message", ""))
    kind, name = facts.pop("kind", Kind.SERVER), str(facts.pop("name", f"{service}.work"))
    attributes: dict[str, Value] = {name.replace("__", "."): facts[name] for name in facts}
    if error:
        attributes["error.type"] = error
    return ReadSpan(
        trace_id="3" * 32,
        span_id=f"{number:016x}",
        parent=f"{parent:016x}" if parent else "",
        service=service,
        instance="one",
        name=name,
        kind=int(kind),
        began_ns=int(times[0] * 1e9),
        ended_ns=int(times[1] * 1e9),
        status=2 if error else 0,
        message=message,
        attributes=attributes,
        links=(),
    )


def why(*spans: ReadSpan) -> str:
    """The line that says why."""
    view = view_of(spans)
    assert view is not None
    return view.why


def test_of_a_call_that_ran_out_of_time_it_is_said_who_took_it() -> None:
    late = seen_span(1, 0, "front", (0, 2), error="deadline-exceeded", message="too late")
    assert why(late, seen_span(2, 1, "bank", (0, 1.9))) == (
        "front failed in front.work with deadline-exceeded: too late; "
        "95 % of 2.0 s were spent in bank.work (bank)"
    )


def test_of_a_call_that_waited_in_vain_for_somebody_outside_it_is_said_how_long() -> None:
    front = seen_span(1, 0, "front", (0, 1.1))
    bank = seen_span(2, 1, "bank", (0, 1), error="OutcomeUnknown", message="No answer came")
    assert why(front, bank) == (
        "bank failed in bank.work with OutcomeUnknown: No answer came; "
        "91 % of 1.1 s were spent in bank.work (bank)"
    )
    refused = seen_span(2, 1, "bank", (0, 0.01), error="unavailable", message="All taken")
    assert why(front, refused) == "bank failed in bank.work with unavailable: All taken"


def attempt(number: int, parent: int, attempt: int, error: str = "ValueError") -> ReadSpan:
    """One of two attempts at an event."""
    facts: dict[str, str | int] = {"borough__attempt": attempt, "borough__attempts": 2}
    facts |= {"messaging__consumer__group__name": "mail.send", "messaging__message__id": "e-1"}
    facts["kind"] = Kind.CONSUMER
    return seen_span(number, parent, "mail", (number, number + 0.01), error=error, **facts)


def test_an_event_that_was_given_up_is_told_as_a_dead_letter_until_it_is_handled() -> None:
    front = seen_span(1, 0, "front", (0, 1))
    tried = "answered in 1.0 s; afterwards mail failed in mail.work with ValueError"
    assert why(front, attempt(2, 1, 1)) == tried
    assert why(front, attempt(2, 1, 1), attempt(3, 1, 2)) == (
        f"{tried}; mail.send has given up the event after 2 attempts: a dead letter"
    )
    assert why(front, attempt(2, 1, 1), attempt(3, 1, 2), attempt(4, 1, 1, error="")) == tried


def handled(number: int, times: tuple[float, float], **facts: str | int) -> ReadSpan:
    """The handling of an event below the span 1."""
    facts["messaging__consumer__group__name"] = "mail.send"
    return seen_span(number, 1, "mail", times, kind=Kind.CONSUMER, **facts)


def test_a_slow_handling_is_told_with_the_time_of_the_answer_before_it() -> None:
    front = seen_span(1, 0, "front", (0, 0.012))
    assert why(front, handled(2, (60, 63.2))) == (
        "answered in 12 ms; mail.send took 3.2 s afterwards"
    )
    posts = seen_span(
        3, 2, "mail", (60, 63), kind=Kind.CLIENT, name="POST /mail", server__address="smtp.example"
    )
    assert why(front, handled(2, (60, 63.2)), posts) == (
        "answered in 12 ms; mail.send took 3.2 s afterwards, of which 3.0 s waiting for smtp.example"
    )


def test_a_handling_that_began_late_is_told() -> None:
    front = seen_span(1, 0, "front", (0, 0.012))
    assert why(front, handled(2, (200, 200.01))) == (
        "answered in 12 ms; mail.send began 3 min afterwards"
    )


def test_a_slow_answer_is_told_before_a_slow_handling() -> None:
    front = seen_span(1, 0, "front", (0, 1))
    assert why(front, handled(2, (1, 4)), seen_span(3, 1, "bank", (0.1, 0.9))) == (
        "80 % of 1.0 s were spent in bank.work (bank); mail.send took 3.0 s afterwards"
    )


def test_a_handling_that_is_quick_and_soon_is_no_news() -> None:
    front, bank = seen_span(1, 0, "front", (0, 1)), seen_span(3, 1, "bank", (0.1, 0.9))
    assert why(front, bank, handled(2, (1, 1.05))) == (
        "80 % of 1.0 s were spent in bank.work (bank)"
    )


def test_a_handling_that_failed_is_told_with_how_long_it_took() -> None:
    front = seen_span(1, 0, "front", (0, 0.012))
    assert why(front, handled(2, (1, 31), error="TimeoutError")) == (
        "answered in 12 ms; afterwards mail failed in mail.work after 30.0 s with TimeoutError"
    )


def coming(*spans: ReadSpan, after_s: float) -> TraceView:
    """The trace as it is seen when all that ended until then has been handed over."""
    view = view_of(spans, gathered_ns=int(after_s * SECOND))
    assert view is not None
    return view


def test_a_young_trace_is_still_coming_in_and_names_nobody_as_slow() -> None:
    front = seen_span(1, 0, "front", (0, 10))
    assert coming(front, after_s=9.9).why == "still coming in"
    settled = coming(front, after_s=10)
    assert (settled.is_coming, settled.why[:6]) == (False, "100 % ")


def test_what_has_failed_is_told_while_the_rest_is_still_coming_in() -> None:
    front = seen_span(1, 0, "front", (0, 10), error="ServiceFailure")
    view = coming(front, after_s=9)
    assert view.error
    assert view.why == "still coming in; so far front failed in front.work with ServiceFailure"


def test_a_trace_without_its_caller_is_still_coming_in_unless_that_is_a_stranger() -> None:
    asked = seen_span(2, 1, "bank", (0, 1), borough__caller="front")
    assert coming(asked, after_s=30).is_coming
    assert not coming(asked, after_s=62).is_coming
    assert not coming(seen_span(2, 1, "front", (0, 1)), after_s=30).is_coming
    partial = seen_span(2, 1, "bank", (0, 1), borough__caller="front", borough__partial=True)
    assert not coming(partial, after_s=30).is_coming


def test_a_trace_without_the_side_that_was_asked_is_still_coming_in_for_a_while() -> None:
    asks = seen_span(1, 0, "front", (0, 1), kind=Kind.CLIENT, peer__service="bank")
    assert coming(asks, after_s=5).is_coming
    assert not coming(asks, after_s=9).is_coming
    assert not coming(asks, seen_span(2, 1, "bank", (0, 1)), after_s=5).is_coming


def test_a_clock_that_runs_ahead_makes_no_trace_come_in_for_ever() -> None:
    assert not coming(seen_span(1, 0, "front", (0, 4000)), after_s=9).is_coming


def test_waits_for_one_thing_are_told_together_and_apart_from_work() -> None:
    front = seen_span(1, 0, "front", (0, 1))
    waits = [
        seen_span(number, 1, "front", (at, at + 0.15), borough__waiting_for="a thread")
        for number, at in ((2, 0.1), (3, 0.3), (4, 0.5))
    ]
    works = seen_span(5, 1, "front", (0.65, 0.95))
    assert why(front, *waits, works) == "45 % of 1.0 s were spent waiting for a thread (front)"
    longer = seen_span(5, 1, "front", (0.46, 0.95))
    assert why(front, *waits[:2], longer) == (
        "49 % of 1.0 s were spent in front.work (front), and 300 ms waiting for a thread"
    )


def test_where_no_span_stands_out_the_longest_is_told_and_what_was_waited_for() -> None:
    front = seen_span(1, 0, "front", (0, 1))
    works = [seen_span(number, 1, "bank", (at, at + 0.3)) for number, at in ((2, 0), (3, 0.35))]
    waits = seen_span(4, 1, "front", (0.7, 0.9), borough__waiting_for="a thread")
    assert why(front, *works, waits) == (
        "no span stands out; the longest is bank.work in bank; 200 ms waiting for a thread"
    )
    longer = seen_span(4, 1, "front", (0.66, 0.98), borough__waiting_for="a thread")
    assert why(front, *works, longer) == (
        "no span stands out; the longest was 320 ms waiting for a thread (front)"
    )


def test_who_waits_for_a_host_outside_is_told_its_name() -> None:
    front = seen_span(1, 0, "front", (0, 1))
    asks = seen_span(
        2, 1, "front", (0, 0.9), kind=Kind.CLIENT, name="POST /x", server__address="issuer.example"
    )
    assert why(front, asks) == (
        "90 % of 1.0 s were spent waiting for POST /x at issuer.example (front)"
    )


def test_a_statement_is_work() -> None:
    reads = seen_span(2, 1, "front", (0, 0.9), kind=Kind.CLIENT, db__system__name="sqlite")
    assert why(seen_span(1, 0, "front", (0, 1)), reads) == (
        "90 % of 1.0 s were spent in front.work (front)"
    )


@pytest.fixture
def file(tmp_path: Path) -> TelemetryFile:
    """A call of 12 ms, of which an event was handled for 3 s a minute later."""
    encoder = SpanEncoder(
        lambda service: Resource({"service.name": service}), Scope("borough", "0")
    )
    trace = TraceContext("3" * 32, "1" * 16, is_sampled=True)
    handling = Shape("mail", "process Placed", Kind.CONSUMER)
    spans = [
        Span(Shape("front", "front.Front/place", Kind.SERVER), trace, "", 0, 0.012),
        Span(handling, trace.child("2" * 16), "1" * 16, 60, 63),
    ]
    file = TelemetryFile(tmp_path / FILE)
    file.write("traces", encoder.encode(spans, 0), 1)
    return file


def test_a_trace_is_found_by_the_time_of_any_span_and_it_is_said_of_which(
    file: TelemetryFile,
) -> None:
    (trace,) = find_traces(file, TraceFilter(longer_than_ms=2000))
    assert trace.duration_ms == 12
    assert trace.found is not None
    assert (trace.found.name, trace.found.service) == ("process Placed", "mail")
    assert (trace.found.span_id, trace.found.duration_ms) == ("2" * 16, 3000)
    assert find_traces(file, TraceFilter(longer_than_ms=2000, service="mail"))
    assert find_traces(file, TraceFilter(longer_than_ms=2000, service="front")) == []
    (asked,) = find_traces(file, TraceFilter(longer_than_ms=10, service="front"))
    assert asked.found is None
    file.close()


def test_a_trace_that_is_still_coming_in_is_not_yet_counted_as_not_failed_or_quick(
    file: TelemetryFile,
) -> None:
    for asked in (TraceFilter(status="ok"), TraceFilter(shorter_than_ms=100)):
        assert find_traces(file, asked, gathered_ns=62 * SECOND) == []
        assert len(find_traces(file, asked, gathered_ns=64 * SECOND)) == 1
    (trace,) = find_traces(file, TraceFilter(), gathered_ns=62 * SECOND)
    assert trace.is_coming
    file.close()
