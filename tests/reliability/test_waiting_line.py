"""A line lets the newest go first, and nobody wait for longer than it makes sense."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.arrival import Arrival
from borough.reliability.waiting_line import WaitingLine


def arrival(came_at: float, start_by: float, *, inside: bool = False) -> Arrival:
    return Arrival(came_at, 1.0, start_by=start_by, is_inside=inside)


def test_the_newest_goes_first_and_calls_from_inside_before_all() -> None:
    line = WaitingLine(4)
    old, inside, new = arrival(1, 9), arrival(2, 9, inside=True), arrival(3, 9)
    for each in (old, inside, new):
        assert line.add(each) is None
    assert [line.take(4, []) for _ in range(4)] == [inside, new, old, None]


def test_for_one_too_many_the_oldest_from_outside_has_to_go() -> None:
    line = WaitingLine(2)
    inside, old, new = arrival(1, 9, inside=True), arrival(2, 9), arrival(3, 9)
    assert line.add(inside) is None
    assert line.add(old) is None
    assert line.add(new) is old
    another = arrival(4, 9, inside=True)
    assert line.add(another) is new
    assert line.add(arrival(5, 9, inside=True)) is inside


def test_one_that_has_left_is_not_taken_though_another_looks_the_same() -> None:
    line = WaitingLine(2)
    first, second = arrival(1, 9), arrival(1, 9)
    line.add(first)
    line.add(second)
    line.remove(second)
    line.remove(second)
    assert line.take(2, []) is first
    assert not line


steps = st.lists(
    st.tuples(st.sampled_from(["add", "take", "overdue"]), st.integers(0, 5), st.booleans()),
    max_size=60,
)


@given(most=st.integers(0, 5), steps=steps)
def test_every_call_comes_out_once_and_none_is_taken_too_late(
    most: int, steps: list[tuple[str, int, bool]]
) -> None:
    line = WaitingLine(most)
    now, added, out = 0.0, 0, 0
    for step, wait, inside in steps:
        now += 1
        gone: list[Arrival] = []
        if step == "add":
            added += 1
            out += line.add(arrival(now, now + wait, inside=inside)) is not None
        elif step == "take":
            taken = line.take(now, gone)
            assert taken is None or taken.start_by >= now
            out += taken is not None
        else:
            gone = line.overdue(now)
        assert all(each.start_by < now for each in gone)
        out += len(gone)
        assert len(line) == added - out <= most
