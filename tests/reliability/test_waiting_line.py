"""A line lets all wait for a moment, and under overload few, the newest first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.arrival import Arrival
from borough.reliability.waiting_line import LineTerms, WaitingLine

BURST_S = 10.0
WAIT_S = 2.0


def lined(most: int, burst: int = 1, burst_s: float = 0.0, wait_s: float = 60.0) -> WaitingLine:
    """A line that is overload from the start, if not said otherwise."""
    return WaitingLine(LineTerms(burst=burst, burst_s=burst_s, most=most, wait_s=wait_s))


def arrival(came_at: float, start_by: float = 99.0, *, inside: bool = False) -> Arrival:
    return Arrival(came_at, 1000.0, start_by=start_by, is_inside=inside)


def filled(line: WaitingLine, *arrivals: Arrival) -> list[Arrival]:
    """Let them wait as they come; returns who had to go."""
    gone: list[Arrival] = []
    for each in arrivals:
        line.add(each, each.came_at, gone)
    return gone


def test_under_overload_the_newest_goes_first_and_calls_from_inside_before_all() -> None:
    line = lined(4)
    old, inside, new = arrival(1), arrival(2, inside=True), arrival(3)
    assert not filled(line, old, inside, new)
    assert [line.take(4, []) for _ in range(4)] == [inside, new, old, None]


def test_in_a_burst_the_oldest_goes_first_and_calls_from_inside_before_all() -> None:
    line = lined(1, 4, BURST_S)
    old, inside, new = arrival(1), arrival(2, inside=True), arrival(3)
    assert not filled(line, old, inside, new)
    assert [line.take(4, []) for _ in range(4)] == [inside, old, new, None]


def test_for_one_too_many_the_oldest_from_outside_has_to_go() -> None:
    line = lined(2)
    inside, old, new = arrival(1, inside=True), arrival(2), arrival(3)
    assert filled(line, inside, old, new) == [old]
    assert filled(line, arrival(4, inside=True)) == [new]
    assert filled(line, arrival(5, inside=True)) == [inside]


def test_where_a_burst_is_full_who_comes_last_is_refused_and_the_others_go_on() -> None:
    line = lined(2, 4, BURST_S)
    came = [arrival(number) for number in range(6)]
    assert filled(line, *came) == came[4:]
    assert not line.is_overload
    assert [line.take(7, []) for _ in range(5)] == [*came[:4], None]


def test_in_a_full_burst_a_call_from_inside_has_the_place_of_the_last_from_outside() -> None:
    line = lined(1, 3, BURST_S)
    old, new, inside = arrival(1), arrival(2), arrival(3, inside=True)
    assert not filled(line, old, new, inside)
    another = arrival(4, inside=True)
    assert filled(line, another) == [new]
    assert [line.take(5, []) for _ in range(3)] == [inside, another, old]


def test_overload_is_over_once_the_last_in_line_begins() -> None:
    line = lined(2, 4, 0.0)
    first, second = arrival(1), arrival(2)
    assert not filled(line, first, second)
    assert [line.take(3, []), line.take(3, [])] == [second, first]
    third, fourth = arrival(4), arrival(4)
    assert not filled(line, third, fourth)
    assert line.take(4, []) is third


@pytest.mark.parametrize(("now", "is_first"), [(BURST_S, True), (BURST_S + 2, False)])
def test_a_burst_that_lasts_is_overload(now: float, is_first: bool) -> None:
    line = lined(4, 4, BURST_S, WAIT_S)
    old, new, newest = arrival(0), arrival(now - 1), arrival(now - 0.5)
    filled(line, old, new, newest)
    gone: list[Arrival] = []
    assert line.take(now, gone) is (old if is_first else newest)
    assert gone == []
    assert line.overdue(now) == ([] if is_first else [old])
    assert line.take(now, gone) is new


def test_under_overload_each_waits_for_a_shorter_time() -> None:
    line = lined(4, 4, BURST_S, WAIT_S)
    old, new = arrival(0), arrival(3)
    filled(line, old, new)
    assert not line.overdue(BURST_S)
    gone: list[Arrival] = []
    assert line.take(BURST_S + 0.5, gone) is None
    assert gone == [new, old]


@pytest.mark.parametrize(("pause_s", "is_over"), [(BURST_S - 1, False), (BURST_S + 1, True)])
def test_that_all_were_refused_ends_no_overload_but_that_nobody_has_come_since(
    pause_s: float, is_over: bool
) -> None:
    line = lined(1, 1, BURST_S, WAIT_S)
    last = BURST_S + 1
    assert filled(line, arrival(0), arrival(last))
    assert line.overdue(last + WAIT_S + 0.5)
    assert not line
    late = arrival(last + pause_s)
    assert not filled(line, late)
    assert line.is_overload is not is_over
    assert line.overdue(late.came_at + WAIT_S + 0.5) == ([] if is_over else [late])


def test_a_call_waits_for_a_tenth_of_its_time_at_most_in_a_burst() -> None:
    line = lined(4, 4, BURST_S, WAIT_S)
    brief = Arrival(0.0, 10.0, start_by=5.0)
    filled(line, brief, arrival(0))
    assert not line.overdue(1.0)
    assert line.overdue(1.1) == [brief]


def test_where_none_may_wait_under_overload_all_are_refused() -> None:
    line = lined(0, 2, BURST_S)
    waiting = [arrival(0), arrival(1)]
    assert not filled(line, *waiting)
    late = arrival(BURST_S + 1)
    assert filled(line, late) == [*waiting, late]
    assert line.is_overload


def test_one_that_has_left_is_not_taken_though_another_looks_the_same() -> None:
    line = lined(2)
    first, second = arrival(1), arrival(1)
    filled(line, first, second)
    line.remove(second)
    line.remove(second)
    assert line.take(2, []) is first
    assert not line


steps = st.lists(
    st.tuples(st.sampled_from(["add", "take", "overdue"]), st.integers(0, 5), st.booleans()),
    max_size=60,
)


@given(most=st.integers(0, 5), burst=st.integers(1, 8), burst_s=st.integers(0, 20), steps=steps)
def test_every_call_comes_out_once_and_none_is_taken_too_late(
    most: int, burst: int, burst_s: float, steps: list[tuple[str, int, bool]]
) -> None:
    line = lined(most, burst, burst_s, WAIT_S)
    now, added, out = 0.0, 0, 0
    for step, wait, inside in steps:
        now += 1
        gone: list[Arrival] = []
        if step == "add":
            added += 1
            line.add(arrival(now, now + wait, inside=inside), now, gone)
            assert len(line) <= (most if line.is_overload else max(most, burst))
        else:
            if step == "take":
                taken = line.take(now, gone)
                assert taken is None or taken.start_by >= now
                assert taken is None or now - taken.waits_since <= (
                    WAIT_S if line.is_overload else burst_s
                )
                out += taken is not None
            else:
                gone = line.overdue(now)
            assert all(
                each.start_by < now or now - each.waits_since > min(burst_s, WAIT_S)
                for each in gone
            )
        out += len(gone)
        assert len(line) == added - out <= max(most, burst)
