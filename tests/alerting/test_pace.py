"""How a handler gets on with its topic, out of how far both were at each look."""

import pytest

from borough.alerting.facts import HandlerFacts, ProcessFacts, SystemFacts
from borough.alerting.measuring import Measuring
from borough.alerting.pace import Headway, Pace, Trend

KEY = "crossings.count", "tickets.Tickets"


def facts(place: int, end: int, *, handled: int = 0, failed: int = 0, sold: int = 0) -> SystemFacts:
    handler = HandlerFacts(
        name=KEY[0],
        service="crossings",
        topic=KEY[1],
        place=place,
        end=end,
        failing=0,
        behind_failing=0,
        attempts=0,
        cause="",
        dead=0,
        dead_cause="",
        handled=handled,
        failed=failed,
    )
    process = ProcessFacts(
        id="1",
        services=("crossings",),
        state="ready",
        age_s=1.0,
        handlers=(handler,),
        published={KEY[1]: sold},
    )
    return SystemFacts(processes=(process,), answered={"crossings": True})


def seen(*looks: SystemFacts, each_s: float = 2.0) -> Measuring:
    measuring = Measuring(())
    for number, look in enumerate(looks):
        measuring.take(look, 1000.0 + number * each_s)
    return measuring


@pytest.mark.parametrize(
    ("done_per_s", "sold_per_s", "trend", "left_s"),
    [
        (30, 10, "catching-up", 1800 / 20),
        (10, 30, "falling-behind", None),
        (30, 30, "as-far", None),
        (0, 5, "still", None),
        (0, 0, "still", None),
    ],
)
def test_which_way_it_goes_is_said_with_the_time_that_is_left(
    done_per_s: int, sold_per_s: int, trend: Trend, left_s: float | None
) -> None:
    headway, gap = Headway(), 3000
    for now in range(0, 61, 2):
        headway.take(float(now), done_per_s * now, gap + sold_per_s * now)
    found, left = headway.judged(oldest_s=90.0)
    assert found == trend
    assert left is None or left == pytest.approx(left_s)
    assert (left is None) == (left_s is None)


def test_who_has_begun_to_catch_up_is_soon_said_to() -> None:
    headway, end = Headway(), 0
    for now in range(0, 51, 2):  # it is given more than it handles for half a minute, then nothing
        end += 0 if now > 30 else 60
        headway.take(float(now), 20 * now, end)
        if now in (30, 50):
            trend, _ = headway.judged(oldest_s=30.0)
            assert trend == ("falling-behind" if now == 30 else "catching-up")


def test_nothing_is_said_before_ten_seconds_are_seen_nor_across_numbers_that_begin_anew() -> None:
    headway = Headway()
    headway.take(0.0, 900, 1000)
    headway.take(8.0, 940, 1000)
    assert headway.judged(8.0) == ("unknown", None)
    headway.take(12.0, 0, 1000)  # a projection is made anew
    assert headway.judged(12.0) == ("unknown", None)


def test_numbers_that_begin_somewhere_with_the_first_event_say_nothing_of_before() -> None:
    headway, base = Headway(), 3_856_262_974_708_645_888
    headway.take(0.0, 0, 0)
    for now in range(2, 61, 2):
        headway.take(float(now), base + 20 * now, base + 45 * now)
    assert headway.judged(oldest_s=30.0) == ("falling-behind", None)


def test_what_is_parked_is_done_with_where_the_broker_tells_only_what_waits() -> None:
    headway = Headway()
    for now in range(0, 61, 2):  # 100 wait; each second one is parked and none is published
        headway.take(float(now), 0, 100 - now)
    trend, left_s = headway.judged(oldest_s=60.0)
    assert (trend, left_s) == ("catching-up", 40.0)


def test_who_handles_events_as_they_come_is_level_though_some_are_on_their_way() -> None:
    headway = Headway()
    assert headway.judged(None) == ("level", None)
    for now in range(0, 61, 2):
        headway.take(float(now), 50 * now, 50 * now + 7)
    assert headway.judged(oldest_s=0.0) == ("level", None)


def test_attempts_and_failures_are_those_of_the_last_five_minutes() -> None:
    looks = [facts(n, n, handled=n * 10, failed=n, sold=n * 4) for n in range(200)]
    measuring = seen(*looks)
    pace = measuring.pace(KEY)
    assert (pace.attempts, pace.failures, pace.over_s) == (1650, 150, 300.0)
    assert pace.per_s == pytest.approx(5.0)
    assert measuring.published_per_s() == {KEY[1]: pytest.approx(2.0)}


def test_what_waited_already_at_the_first_look_has_waited_at_least_that_long() -> None:
    pace = seen(facts(3, 10), facts(4, 10), facts(5, 11)).pace(KEY)
    assert (pace.waiting, pace.oldest_s, pace.is_at_least) == (6, 4.0, True)
    pace = seen(facts(10, 10), facts(10, 12), facts(11, 12)).pace(KEY)
    assert (pace.waiting, pace.oldest_s, pace.is_at_least) == (1, 2.0, False)


def test_the_age_of_nothing_is_not_known() -> None:
    pace: Pace = seen(facts(3, 10), facts(10, 10)).pace(KEY)
    assert (pace.waiting, pace.oldest_s, pace.trend) == (0, None, "level")


def test_how_much_is_published_is_not_said_of_a_few_seconds() -> None:
    assert seen(facts(1, 1, sold=1), facts(9, 9, sold=9)).published_per_s() == {}
