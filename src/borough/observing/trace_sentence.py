"""One line for a trace: what failed and why, or where the time went, be it before the answer or after it.

Waits for the same thing are counted together, as ten short ones are as bad as a long one. What handled an
event is told with when that was, for whoever reads the line has the answer's time before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from borough.errors import DeadlineExceeded
from borough.observing.trace_row import Row
from borough.telemetry.otlp_reading import ReadSpan
from borough.telemetry.span import Kind, Value

__all__ = ["why"]

_COMING = "still coming in"
_SLOW_SHARE = 0.4
_WAIT_SHARE = 0.05
_LONG_MS = 100.0
_LONG_AFTERWARDS_MS = 1000.0
_LATE_MS = 5000.0
_TOO_LATE = DeadlineExceeded.code


def why(root: ReadSpan, rows: Sequence[Row], *, is_coming: bool = False) -> str:
    """What is worth to know of a trace; while it `is_coming`, only what no further span can change."""
    failed = [row for row in rows if row.is_error]
    if is_coming:
        return f"{_COMING}; so far {_failure(root, rows, failed)[0]}" if failed else _COMING
    if failed:
        return "; ".join(_failure(root, rows, failed))
    whole_ms = _ms(root.ended_ns - root.began_ns)
    spent, later = _spent(root, rows), _afterwards(whole_ms, rows)
    if later is not None:
        return f"{spent if spent and whole_ms >= _LONG_MS else _answered(root)}; {later}"
    if spent is not None:
        return spent
    return f"no span stands out; {_longest(whole_ms, [row for row in rows if row.is_critical])}"


def _longest(whole_ms: float, critical: Sequence[Row]) -> str:
    slowest = max(critical, key=lambda row: row.self_ms)
    service, what = slowest.span.service, slowest.waits_for
    if what:
        asked = _asked([slowest], service, what)
        return f"the longest was {_time(slowest.self_ms)} waiting for {asked} ({service})"
    waited = _waited(whole_ms, critical)
    longest = f"the longest is {slowest.span.name} in {service}"
    return f"{longest}; {waited}" if waited else longest


def _failure(root: ReadSpan, rows: Sequence[Row], failed: Sequence[Row]) -> list[str]:
    """What failed, and what else is to be known of it."""
    # The cause stands deepest, and first of those.
    cause = max(failed, key=lambda row: (row.depth, -row.span.began_ns))
    kind = cause.span.attributes.get("error.type", "an error")
    detail = f": {cause.span.message}" if cause.span.message else ""
    attempt = cause.span.attributes.get("borough.attempt")
    which = f", attempt {attempt}," if isinstance(attempt, int) and attempt > 1 else ""
    address = cause.span.attributes.get("server.address")
    at = f" at {address}" if address else ""
    is_later = all(row.is_later for row in failed)
    took = (
        f" after {_time(cause.duration_ms)}" if is_later and cause.duration_ms >= _LONG_MS else ""
    )
    told = f"{cause.span.service} failed in {cause.span.name}{at}{which}{took} with {kind}{detail}"
    if is_later:
        told = f"{_answered(root)}; afterwards {told}"
    # Who runs out of time is seldom who took it; and what took most of the time may have waited in vain.
    took_long = cause.duration_ms >= _SLOW_SHARE * _ms(root.ended_ns - root.began_ns)
    is_slow = kind == _TOO_LATE or (took_long and cause.duration_ms >= _LONG_MS)
    ends = (_spent(root, rows) if is_slow and not cause.is_later else None, _given_up(rows))
    return [told, *(each for each in ends if each)]


def _given_up(rows: Sequence[Row]) -> str | None:
    """Which event was given up after its last attempt, and has not been handled since."""
    found: dict[tuple[Value, Value], str] = {}
    for row in sorted(rows, key=lambda row: row.span.began_ns):
        facts = row.span.attributes
        attempt, most = facts.get("borough.attempt"), facts.get("borough.attempts")
        if not isinstance(attempt, int) or not isinstance(most, int):
            continue
        handler = facts.get("messaging.consumer.group.name", "")
        event = handler, facts.get("messaging.message.id", "")
        if row.is_error and attempt >= most:
            found[event] = (
                f"{handler} has given up the event after {attempt} attempts: a dead letter"
            )
        elif not row.is_error:
            found.pop(event, None)
    return next(iter(found.values()), None)


def _answered(root: ReadSpan) -> str:
    word = "answered" if root.kind == Kind.SERVER else "done"
    return f"{word} in {_time(_ms(root.ended_ns - root.began_ns))}"


def _afterwards(whole_ms: float, rows: Sequence[Row]) -> str | None:
    """The handling of an event that took longer than the answer, or began late; None for none."""
    handlings = [row for row in rows if row.is_later and row.span.kind == Kind.CONSUMER]
    if not handlings:
        return None
    longest = max(handlings, key=lambda row: row.duration_ms)
    took_ms = longest.duration_ms
    if took_ms >= _LONG_AFTERWARDS_MS or (took_ms >= _LONG_MS and took_ms > whole_ms):
        waited = _waited(took_ms, _below(longest, rows))
        told = f"{_handler(longest)} took {_time(took_ms)} afterwards"
        return f"{told}, of which {waited}" if waited else told
    latest = max(handlings, key=lambda row: row.offset_ms)
    late_ms = latest.offset_ms - whole_ms
    return f"{_handler(latest)} began {_time(late_ms)} afterwards" if late_ms >= _LATE_MS else None


def _handler(row: Row) -> str:
    return str(row.span.attributes.get("messaging.consumer.group.name", row.span.service))


def _below(top: Row, rows: Sequence[Row]) -> Iterable[Row]:
    """A row with all that stands below it; it waited for whatever it did."""
    at = next(place for place, row in enumerate(rows) if row is top)
    yield top
    for row in rows[at + 1 :]:
        if row.depth <= top.depth:
            return
        yield row


def _spent(root: ReadSpan, rows: Sequence[Row]) -> str | None:
    """Where most of the time went, None where it went nowhere in particular."""
    whole_ms = _ms(root.ended_ns - root.began_ns)
    critical = [row for row in rows if row.is_critical]
    waits = _waits(critical)
    slowest = max(critical, key=lambda row: row.self_ms)
    most = max(waits, key=lambda each: waits[each], default=None)
    wait_ms = 0.0 if most is None else waits[most]
    spent_ms = max(wait_ms, slowest.self_ms)
    if spent_ms < _SLOW_SHARE * whole_ms or not whole_ms:
        return None
    told = f"{100 * spent_ms / whole_ms:.0f} % of {_time(whole_ms)} were spent"
    if most is not None and wait_ms >= slowest.self_ms:
        service, what = most
        return f"{told} waiting for {_asked(critical, service, what)} ({service})"
    is_asking = slowest.span.kind == Kind.CLIENT and "db.system.name" not in slowest.span.attributes
    word = "waiting for" if is_asking else "in"
    waited = _waited(whole_ms, critical)
    told = f"{told} {word} {slowest.span.name} ({slowest.span.service})"
    return f"{told}, and {waited}" if waited else told


def _waits(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Milliseconds by who waited and for what."""
    found: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.waits_for:
            key = row.span.service, row.waits_for
            found[key] = found.get(key, 0.0) + row.self_ms
    return found


def _asked(rows: Iterable[Row], service: str, what: str) -> str:
    """What was waited for; of somebody who was asked, what for."""
    waits = (row for row in rows if row.waits_for == what and row.span.service == service)
    longest = max(waits, key=lambda row: row.self_ms).span
    if longest.kind != Kind.CLIENT:
        return what
    return f"{longest.name} at {what}" if "server.address" in longest.attributes else longest.name


def _waited(whole_ms: float, rows: Iterable[Row]) -> str:
    """What was waited for besides, where that is worth a word."""
    waits = _waits(rows)
    if not waits:
        return ""
    (_, what), wait_ms = max(waits.items(), key=lambda each: each[1])
    is_worth = wait_ms >= _WAIT_SHARE * whole_ms
    return f"{_time(wait_ms)} waiting for {what}" if is_worth else ""


def _time(ms: float) -> str:
    if ms >= 100_000:
        return f"{ms / 60_000:.0f} min"
    return f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.3g} ms"


def _ms(nanoseconds: int) -> float:
    return nanoseconds / 1e6
