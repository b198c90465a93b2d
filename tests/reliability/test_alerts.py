"""Alerts as a state machine, and the budget of an objective."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from borough.contracts.objective import read_availability, read_latency
from borough.reliability.alert_rules import DEFAULT_RULES, METRICS, read_above
from borough.reliability.alerts import Alert, AlertBook, Kept, Reading, Silence
from borough.reliability.objectives import BURNS, KeptSpent, Spent

FOR_S = 20.0
HELD_S = 31.0
REPEAT_S = 4 * 3600.0


def reading(is_breached: bool = True, subject: str = "payments", value: float = 7.0) -> Reading:
    return Reading(
        rule="failing-calls",
        subject=subject,
        service="payments",
        team="checkout",
        severity="page",
        is_breached=is_breached,
        value=value,
        threshold=5.0,
        unit="%",
        for_s=FOR_S,
        summary="payments fails",
        look="#/traces",
    )


def look(book: AlertBook, now: float, *readings: Reading, unknown: bool = False) -> None:
    book.observe(readings, now, lambda _: unknown)


def firing(book: AlertBook, now: float = 0.0) -> Alert:
    look(book, now, reading())
    look(book, now + FOR_S, reading())
    (alert,) = book.open
    assert alert.state == "firing"
    return alert


def silence(until: float, **covers: str) -> Silence:
    rule, service = covers.get("rule"), covers.get("service")
    return Silence(id="s1", rule=rule, service=service, until=until, reason="known", by="ann")


def test_what_is_breached_fires_only_when_it_lasts() -> None:
    book = AlertBook()
    look(book, 0, reading())
    look(book, FOR_S - 1, reading())
    assert [alert.state for alert in book.open] == ["pending"]
    look(book, FOR_S, reading(value=9))
    (alert,) = book.open
    assert (alert.state, alert.since, alert.fired_at, alert.reading.value) == ("firing", 0, 20, 9)


def test_what_does_not_last_leaves_nothing_behind() -> None:
    book = AlertBook()
    look(book, 0, reading())
    look(book, 5, reading(is_breached=False))
    look(book, FOR_S, reading())
    assert [(alert.state, alert.since) for alert in book.open] == [("pending", FOR_S)]
    assert book.history == []


def test_an_alert_is_resolved_when_it_has_been_clear_for_a_while() -> None:
    book = AlertBook()
    firing(book)
    look(book, 30, reading(is_breached=False))
    look(book, 50, reading(is_breached=False))
    assert [alert.state for alert in book.open] == ["firing"]
    look(book, 30 + HELD_S, reading(is_breached=False))
    assert book.open == []
    assert [(alert.state, alert.resolved_at) for alert in book.history] == [("resolved", 61)]


def test_one_that_fires_again_and_again_is_held_longer_each_time() -> None:
    book = AlertBook()
    firing(book)
    look(book, 30, reading(is_breached=False))
    look(book, 30 + HELD_S, reading(is_breached=False))
    firing(book, 100)
    look(book, 130, reading(is_breached=False))
    look(book, 130 + HELD_S, reading(is_breached=False))
    assert [alert.state for alert in book.open] == ["firing"]
    look(book, 130 + 2 * HELD_S, reading(is_breached=False))
    assert book.open == []


def test_nothing_changes_for_an_alert_of_which_nothing_is_known() -> None:
    book = AlertBook()
    firing(book)
    look(book, 1000, unknown=True)
    look(book, 2000, unknown=True)
    assert [alert.state for alert in book.open] == ["firing"]
    look(book, 3000)
    look(book, 3000 + HELD_S)
    assert book.open == []


def test_a_team_is_told_once_and_again_after_hours_and_of_the_end() -> None:
    book = AlertBook()
    firing(book)
    (notice,) = book.due(FOR_S, REPEAT_S)
    assert (notice.team, len(notice.firing), notice.resolved) == ("checkout", 1, ())
    book.told(notice, FOR_S)
    assert book.due(FOR_S + 60, REPEAT_S) == []
    (again,) = book.due(FOR_S + REPEAT_S, REPEAT_S)
    assert again.id != notice.id
    book.told(again, FOR_S + REPEAT_S)
    at = FOR_S + REPEAT_S + 1
    look(book, at, reading(is_breached=False))
    look(book, at + HELD_S, reading(is_breached=False))
    (end,) = book.due(at + HELD_S, REPEAT_S)
    assert (end.firing, [alert.state for alert in end.resolved]) == ((), ["resolved"])
    book.told(end, at + HELD_S)
    assert book.due(at + HELD_S + REPEAT_S, REPEAT_S) == []


def test_a_message_that_was_not_sent_is_due_again_and_has_the_same_id() -> None:
    book = AlertBook()
    firing(book)
    first, again = book.due(FOR_S, REPEAT_S), book.due(FOR_S + 5, REPEAT_S)
    assert [notice.id for notice in first] == [notice.id for notice in again]


def test_several_alerts_of_a_team_are_one_message() -> None:
    book = AlertBook()
    for now in (0, FOR_S):
        look(book, now, reading(), reading(subject="orders"))
    (notice,) = book.due(FOR_S, REPEAT_S)
    assert {alert.reading.subject for alert in notice.firing} == {"payments", "orders"}


def test_what_was_acknowledged_is_not_repeated_and_its_end_is_told() -> None:
    book = AlertBook()
    alert = firing(book)
    book.told(book.due(FOR_S, REPEAT_S)[0], FOR_S)
    done = book.acknowledge(alert.id, "the issuer is down", "ann")
    assert done is not None
    assert (done.state, done.acknowledged_by, done.note) == (
        "acknowledged",
        "ann",
        "the issuer is down",
    )
    assert book.due(FOR_S + REPEAT_S, REPEAT_S) == []
    look(book, 100, reading(is_breached=False))
    look(book, 100 + HELD_S, reading(is_breached=False))
    assert [len(notice.resolved) for notice in book.due(200, REPEAT_S)] == [1]


def test_only_what_fires_can_be_acknowledged() -> None:
    book = AlertBook()
    look(book, 0, reading())
    assert book.acknowledge(book.open[0].id, "", "ann") is None


@pytest.mark.parametrize(
    ("covers", "told"),
    [
        ({}, 0),
        ({"rule": "failing-calls"}, 0),
        ({"service": "payments"}, 0),
        ({"rule": "failing-calls", "service": "orders"}, 1),
    ],
)
def test_nobody_is_told_of_what_a_silence_covers(covers: dict[str, str], told: int) -> None:
    book = AlertBook()
    book.silence(silence(1000, **covers))
    firing(book)
    assert len(book.due(FOR_S, REPEAT_S)) == told


def test_a_silence_ends_by_itself() -> None:
    book = AlertBook()
    book.silence(silence(100))
    alert = firing(book)
    assert book.silenced_until(alert) == 100
    look(book, 100, reading())
    assert book.silences == {}
    assert len(book.due(100, REPEAT_S)) == 1


def test_what_is_kept_is_all_that_a_restart_needs() -> None:
    book = AlertBook()
    alert = firing(book)
    book.told(book.due(FOR_S, REPEAT_S)[0], FOR_S)
    book.acknowledge(alert.id, "mine", "ann")
    book.silence(silence(1000))
    written = msgspec.json.encode(book.kept())
    again = AlertBook(msgspec.json.decode(written, type=Kept))
    assert msgspec.json.decode(msgspec.json.encode(again.kept())) == msgspec.json.decode(written)
    assert again.due(FOR_S + 1, REPEAT_S) == []


@given(
    some.lists(
        some.tuples(
            some.floats(0.1, 60), some.sampled_from(["breached", "clear", "unknown", "ack", "told"])
        ),
        max_size=40,
    )
)
def test_whatever_happens_an_alert_goes_only_the_ways_that_are_drawn(
    steps: Sequence[tuple[float, str]],
) -> None:
    allowed = {
        (None, "pending"),
        ("pending", "firing"),
        ("pending", None),
        ("firing", "acknowledged"),
        ("firing", None),
        ("acknowledged", None),
    }
    book, now, last_told = AlertBook(), 0.0, None
    for pause, what in steps:
        now += pause
        before = book.open[0] if book.open else None
        if what == "ack" and before is not None:
            book.acknowledge(before.id, "", "ann")
        elif what == "told":
            for notice in book.due(now, REPEAT_S):
                book.told(notice, now)
                last_told = notice.id if last_told != notice.id else pytest.fail("told twice")
        else:
            readings = () if what == "unknown" else (reading(what == "breached"),)
            look(book, now, *readings, unknown=what == "unknown")
        after = book.open[0] if book.open else None
        old = None if before is None else before.state
        new = None if after is None else after.state
        assert old == new or (old, new) in allowed
        if what == "unknown":
            assert before == after
        if old == "pending" and new == "firing":
            assert after is not None
            assert now - after.since >= FOR_S
        if old in ("firing", "acknowledged") and new is None:
            assert book.history[0].resolved_at == now


@pytest.mark.parametrize("burn", BURNS, ids=lambda burn: burn.name)
def test_a_budget_burns_at_rate_1_when_it_lasts_as_long_as_its_objective(burn: object) -> None:
    objective = read_availability("payments", "99.9%")
    spent = Spent()
    for minute in range(3 * 24 * 60):
        spent.add(minute * 60.0, 1000, 1)
    rates = spent.rates(3 * 24 * 3600.0, objective, burn)  # type: ignore[arg-type]
    assert rates == pytest.approx([1.0, 1.0])


def test_a_short_outage_burns_fast_and_the_short_window_forgets_it_soon() -> None:
    objective, fast, spent = read_availability("payments", "99.9%"), BURNS[0], Spent()
    for second in range(0, 3600, 15):
        spent.add(float(second), 100, 100 if second >= 3300 else 0)
    long, short = spent.rates(3600.0, objective, fast)
    assert long > fast.factor
    assert short > fast.factor
    for second in range(3600, 4200, 15):
        spent.add(float(second), 100, 0)
    long, short = spent.rates(4200.0, objective, fast)
    assert long > fast.factor
    assert short == 0


@given(some.lists(some.tuples(some.floats(0, 5000), some.integers(0, 50)), max_size=200))
def test_a_window_never_has_more_than_happened(
    steps: Sequence[tuple[float, int]],
) -> None:
    spent, now, total = Spent(), 0.0, 0
    for pause, count in steps:
        now += pause
        total += count
        spent.add(now, count, count / 2)
    for burn in BURNS:
        within, bad = spent.within(now, burn.long_s)
        assert within <= total
        assert bad == within / 2


def test_objectives_are_read_as_they_are_written() -> None:
    found = read_latency("payments", "p99 < 250ms")
    assert (found.kind, found.share, found.bound_s, found.text) == (
        "latency",
        0.99,
        0.25,
        "p99 < 250ms",
    )
    assert read_availability("payments", "99.95 %").text == "99.95%"


@pytest.mark.parametrize("text", ["100%", "0.999", "49%", "", "p99"])
def test_what_is_no_availability_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r'such as "99\.9%"'):
        read_availability("payments", text)


@pytest.mark.parametrize("text", ["p100 < 1s", "p99 > 1s", "p99 < 1", "p99 < 0ms"])
def test_what_is_no_latency_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        read_latency("payments", text)


@pytest.mark.parametrize(
    ("metric", "given_as", "bound"),
    [("latency", "1s", 1000), ("lag_age", "2m", 120), ("error_rate", "5%", 5), ("lag", 100, 100)],
)
def test_a_bound_is_read_in_its_metrics_unit(
    metric: str, given_as: str | float, bound: float
) -> None:
    assert read_above(metric, given_as) == bound


def test_each_default_rule_looks_at_a_metric_that_there_is() -> None:
    assert {rule.metric for rule in DEFAULT_RULES} <= set(METRICS)
    assert DEFAULT_RULES[0].condition == "services that nobody answers for > 0 for 30 s"


def clear(book: AlertBook, *subjects: str, now: float) -> None:
    for at in (now, now + HELD_S):
        look(book, at, *(reading(False, each) for each in subjects))


def test_the_end_of_all_that_a_team_was_told_of_is_told_however_many_end_at_once() -> None:
    book, subjects = AlertBook(), [f"s{number}" for number in range(500)]
    for now in (0, FOR_S):
        look(book, now, *(reading(subject=each) for each in subjects))
    book.told(book.due(FOR_S, REPEAT_S)[0], FOR_S)
    clear(book, *subjects, now=30)
    (notice,) = book.due(100, REPEAT_S)
    assert len(notice.resolved) == 500
    book.told(notice, 100)
    assert (len(book.history), book.due(100, REPEAT_S)) == (100, [])


def test_ends_that_nobody_was_told_of_take_no_room_from_those_that_are_due() -> None:
    book = AlertBook()
    firing(book)
    book.told(book.due(FOR_S, REPEAT_S)[0], FOR_S)
    clear(book, "payments", now=30)
    later = [f"s{number}" for number in range(200)]
    for now in (100, 100 + FOR_S):
        look(book, now, *(reading(subject=each) for each in later))
    clear(book, *later, now=130)
    assert len(book.history) == 101
    assert [len(notice.resolved) for notice in book.due(200, REPEAT_S)] == [1]


def test_a_page_takes_the_place_of_a_ticket_where_there_are_too_many_alerts() -> None:
    book = AlertBook()
    tickets = [
        msgspec.structs.replace(reading(subject=f"s{number}"), severity="ticket")
        for number in range(1000)
    ]
    look(book, 0, *tickets)
    look(book, FOR_S, *tickets[1:], reading(subject="page"), tickets[0])
    assert len(book.open) == 1000
    assert [alert.key[1] for alert in book.open if alert.reading.severity == "page"] == ["page"]


def test_the_end_is_told_of_what_was_sent_though_no_answer_came() -> None:
    book = AlertBook()
    firing(book)
    (notice,) = book.due(FOR_S, REPEAT_S)
    book.trying(notice)
    assert [again.id for again in book.due(FOR_S + 5, REPEAT_S)] == [notice.id]
    book = AlertBook(msgspec.json.decode(msgspec.json.encode(book.kept()), type=Kept))
    clear(book, "payments", now=30)
    (end,) = book.due(100, REPEAT_S)
    assert (end.firing, [alert.id for alert in end.resolved]) == ((), [notice.firing[0].id])
    book.told(end, 100)
    assert book.due(100, REPEAT_S) == []


def test_the_end_is_not_told_of_what_nobody_was_told_of() -> None:
    book = AlertBook()
    firing(book)
    clear(book, "payments", now=30)
    assert book.due(100, REPEAT_S) == []


def test_what_another_alert_tells_begins_nothing_and_ends_nothing() -> None:
    covered = msgspec.structs.replace(reading(False), is_covered=True)
    book = AlertBook()
    look(book, 0, covered)
    assert book.open == []
    firing(book)
    for now in (30, 100, 200):
        look(book, now, covered)
    assert [alert.state for alert in book.open] == ["firing"]


def test_what_was_spent_of_a_budget_outlives_a_restart() -> None:
    spent = Spent()
    for second in range(0, 7200, 15):
        spent.add(float(second), 100, 3)
    written = msgspec.json.encode(spent.kept(1e9))
    again = Spent(Spent(msgspec.json.decode(written, type=KeptSpent)).kept(-1e9 - 7200))
    again.add(7.0, 100, 3)
    for window_s in (300.0, 1800.0, 3600.0, 21_600.0):
        count, bad = spent.within(7200.0, window_s)
        assert again.within(7.0, window_s) == pytest.approx((count + 100, bad + 3), rel=0.06)
