"""Whatever was done before the settled time lies at or before the position that is noted with it."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.settled_time import SettledTime

Steps = list[tuple[str, int]]
_STEPS = st.lists(st.tuples(st.sampled_from(["read", "do", "note"]), st.integers(0, 9)))


@given(st.integers(0, 6), _STEPS)
def test_nothing_that_was_done_before_it_lies_behind_the_position(end: int, steps: Steps) -> None:
    settled, read, still_open = SettledTime(end, 0.0), 0, list[int]()
    done = dict.fromkeys(range(1, end + 1), -1.0)  # by a holder before
    for now, (act, chosen) in enumerate(steps, 1):
        if act == "read":
            read += 1
            still_open.append(read)
        elif act == "do" and still_open:
            done.setdefault(still_open.pop(chosen % len(still_open)), float(now))
        elif act == "note":
            position = min(still_open) - 1 if still_open else read
            at = settled.at(position, read, float(now))
            assert at is None or all(done[place] >= at for place in done if place > position)


def test_it_is_now_where_all_that_was_read_is_done() -> None:
    settled = SettledTime(5, 0.0)
    assert [settled.at(4, 4, 1.0), settled.at(5, 5, 2.0), settled.at(9, 9, 3.0)] == [None, 2.0, 3.0]


def test_it_goes_on_while_something_is_always_open() -> None:
    settled = SettledTime(0, 0.0)
    assert [settled.at(read - 1, read, float(read)) for read in range(1, 5)] == [0.0, 1.0, 2.0, 3.0]
