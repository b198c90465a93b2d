"""Order per key with parallelism, checked against a model that keeps everything."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from borough.reliability.lanes import Lanes

KEYS = st.sampled_from(["a", "b", "c", None])


class LanesAgainstModel(RuleBasedStateMachine):
    """Lists and sets say what `Lanes` must do; positions have gaps, as offsets in a log have."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[str] = Lanes(0, window=12)
        self.offered: list[tuple[int, str | None]] = []
        self.passed: list[int] = [0]
        self.done: set[int] = set()
        self.running: set[int] = set()
        self.waiting: dict[int, float] = {}
        self.attempts: dict[int, int] = {}
        self.now = 0.0

    def may_start(self, position: int, key: str | None) -> bool:
        if position in self.done | self.running or self.waiting.get(position, 0.0) > self.now:
            return False
        before = [p for p, k in self.offered if k == key and p < position and p not in self.done]
        return key is None or not before

    @precondition(lambda self: self.lanes.room > 0)
    @rule(key=KEYS, gap=st.integers(1, 100))
    def offer(self, key: str | None, gap: int) -> None:
        position = self.passed[-1] + gap
        self.lanes.offer(position, key, f"item {position}")
        self.offered.append((position, key))
        self.passed.append(position)

    @rule(gap=st.integers(0, 100))
    def skip(self, gap: int) -> None:
        position = self.passed[-1] + gap
        self.lanes.skip(position)
        self.passed.append(position)

    @rule()
    def start(self) -> None:
        allowed = [p for p, k in self.offered if self.may_start(p, k)]
        started = self.lanes.start(self.now)
        if started is None:
            assert not allowed
            return
        assert started.position in allowed
        assert started.item == f"item {started.position}"
        self.attempts[started.position] = self.attempts.get(started.position, 0) + 1
        assert started.attempt == self.attempts[started.position]
        self.waiting.pop(started.position, None)
        self.running.add(started.position)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.running)))
        self.lanes.succeed(position)
        self.running.remove(position)
        self.done.add(position)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), after=st.floats(0.1, 10))
    def fail(self, data: st.DataObject, after: float) -> None:
        position = data.draw(st.sampled_from(sorted(self.running)))
        self.lanes.fail(position, self.now + after)
        self.running.remove(position)
        self.waiting[position] = self.now + after

    @rule(seconds=st.floats(0, 10))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def done_is_the_longest_finished_prefix(self) -> None:
        unfinished = [p for p, _ in self.offered if p not in self.done]
        expected = (
            max(p for p in self.passed if p < unfinished[0]) if unfinished else self.passed[-1]
        )
        assert self.lanes.done == expected

    @invariant()
    def counts_agree(self) -> None:
        assert self.lanes.running == len(self.running)
        assert self.lanes.empty == (len(self.done) == len(self.offered))
        assert self.lanes.room == 12 - (len(self.offered) - len(self.done))
        due = [at for p, at in self.waiting.items() if at > self.now]
        if due and self.lanes.due is not None:
            assert self.lanes.due <= min(due)


LanesAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=60)
test_lanes_do_what_the_model_does = LanesAgainstModel.TestCase


@given(st.lists(KEYS, min_size=1, max_size=200), st.integers(0, 2**32))
def test_everything_is_done_once_and_in_order_per_key(keys: list[str | None], seed: int) -> None:
    chance = random.Random(seed)
    lanes: Lanes[str | None] = Lanes(0)
    for position, key in enumerate(keys, 1):
        lanes.offer(position, key, key)
    order: list[tuple[str | None, int]] = []
    now = 0.0
    while not lanes.empty:
        entry = lanes.start(now)
        if entry is None:
            assert lanes.due is not None
            now = lanes.due
        elif chance.random() < 0.3:
            lanes.fail(entry.position, now + 1)
        else:
            order.append((entry.item, entry.position))
            lanes.succeed(entry.position)
    assert sorted(p for _, p in order) == list(range(1, len(keys) + 1))
    for key in {"a", "b", "c"}:
        mine = [p for k, p in order if k == key]
        assert mine == sorted(mine)
    assert lanes.done == len(keys)


def test_a_failing_key_fills_its_window_and_no_more() -> None:
    lanes: Lanes[None] = Lanes(0, window=3)
    lanes.offer(1, "bad", None)
    bad = lanes.start(0)
    assert bad is not None
    lanes.fail(1, 1e9)
    for position in range(2, 10_000):
        lanes.offer(position, f"good {position}", None)
        entry = lanes.start(0)
        assert entry is not None
        lanes.succeed(entry.position)
    assert lanes.room == 2
    assert lanes.done == 0


def test_without_room_nothing_is_taken_in() -> None:
    lanes: Lanes[None] = Lanes(0, window=1)
    lanes.offer(1, None, None)
    with pytest.raises(OverflowError):
        lanes.offer(2, None, None)


def test_positions_go_up_only() -> None:
    lanes: Lanes[None] = Lanes(5)
    with pytest.raises(ValueError, match="after 5"):
        lanes.offer(5, None, None)
    with pytest.raises(ValueError, match="after 5"):
        lanes.skip(4)
