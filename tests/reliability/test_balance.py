"""The less busy of two replicas is called; those that fail are left out, tried again, and never all given up."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from borough.reliability.balance import Balance, BalanceTerms, Candidate, Failure

TERMS = BalanceTerms()


def balance_of(count: int) -> Balance[str]:
    balance: Balance[str] = Balance(TERMS)
    balance.replace([f"r{number}" for number in range(count)])
    return balance


def drawn(seed: int = 1) -> random.Random:
    return random.Random(seed)


def shares(balance: Balance[str], now: float = 0.0, calls: int = 300) -> Counter[str]:
    """Who is chosen for calls that end at once."""
    chance, found = drawn(), Counter[str]()
    for _ in range(calls):
        candidate = balance.choose(now, chance.random)
        assert candidate is not None
        found[candidate.peer] += 1
    return found


def test_where_nobody_is_known_nobody_is_chosen() -> None:
    assert balance_of(0).choose(0.0, drawn().random) is None


@given(st.lists(st.integers(0, 100), min_size=2, max_size=8), st.integers(0, 10_000))
def test_the_busiest_of_several_is_never_chosen(in_flight: list[int], seed: int) -> None:
    balance = balance_of(len(in_flight))
    for candidate, count in zip(balance.candidates, in_flight, strict=True):
        candidate.in_flight = count
    chosen = balance.choose(0.0, drawn(seed).random)
    assert chosen is not None
    assert in_flight.count(max(in_flight)) > 1 or chosen.in_flight < max(in_flight)


def test_idle_replicas_share_the_calls() -> None:
    assert min(shares(balance_of(3)).values()) > 70


def test_one_that_takes_more_than_twice_as_long_is_passed_over_until_that_is_long_ago() -> None:
    balance = balance_of(2)
    slow, swift = balance.candidates
    for _ in range(2):
        balance.succeeded(slow, 1.0, 0.5)
        balance.succeeded(swift, 1.0, 0.1)
    assert set(shares(balance, now=1.0)) == {"r1"}
    balance.succeeded(swift, 30.0, 0.1)
    assert "r0" in shares(balance, now=30.0)


def test_one_that_nobody_listens_at_is_left_out_at_once_and_tried_by_one_call_later() -> None:
    balance = balance_of(3)
    gone = balance.candidates[0]
    balance.failed(gone, Failure.UNREACHABLE, 0.0, 0.5)
    assert set(shares(balance)) == {"r1", "r2"}
    trial = balance.choose(1.0, drawn().random)
    assert trial is gone
    assert set(shares(balance, now=1.0)) == {"r1", "r2"}
    balance.succeeded(gone, 1.1, 0.01)
    assert set(shares(balance, now=1.1)) == {"r0", "r1", "r2"}


def test_each_time_in_a_row_it_is_left_out_for_longer_with_jitter() -> None:
    balance = balance_of(2)
    gone, now, waits = balance.candidates[0], 0.0, list[float]()
    for chance in (0.0, 0.99, 0.0, 0.99, 0.0, 0.99, 0.0, 0.99):
        balance.failed(gone, Failure.UNREACHABLE, now, chance)
        waits.append(gone.out_until - now)
        now = gone.out_until
    for number, wait in enumerate(waits):
        ceiling = min(TERMS.out.last_s, 2.0**number)
        assert ceiling / 2 <= wait <= ceiling


def test_some_failures_with_an_answer_between_leave_nobody_out() -> None:
    balance = balance_of(2)
    shaky = balance.candidates[0]
    for _ in range(10):
        for _ in range(TERMS.failures - 1):
            balance.failed(shaky, Failure.BROKEN, 0.0, 0.5)
        balance.succeeded(shaky, 0.0, 0.01)
    assert not shaky.is_out
    for _ in range(TERMS.failures):
        balance.failed(shaky, Failure.BROKEN, 0.0, 0.5)
    assert set(shares(balance)) == {"r1"}


def test_one_that_refuses_is_passed_over_for_a_moment_and_not_left_out() -> None:
    balance = balance_of(2)
    for _ in range(100):
        balance.failed(balance.candidates[0], Failure.REFUSED, 0.0, 0.5)
    assert set(shares(balance)) == {"r1"}
    assert set(shares(balance, now=TERMS.refused_s)) == {"r0", "r1"}


def test_where_none_is_left_all_are_tried() -> None:
    balance = balance_of(3)
    for candidate in balance.candidates:
        balance.failed(candidate, Failure.UNREACHABLE, 0.0, 0.5)
    assert set(shares(balance)) == {"r0", "r1", "r2"}


def test_the_one_that_has_just_failed_is_avoided_where_there_is_another() -> None:
    balance = balance_of(2)
    failed = balance.candidates[0]
    assert all(balance.choose(0.0, drawn(n).random, failed) is not failed for n in range(50))
    alone = balance_of(1)
    assert alone.choose(0.0, drawn().random, alone.candidates[0]) is alone.candidates[0]


def test_what_is_known_of_a_replica_outlives_a_change_of_the_others() -> None:
    balance = balance_of(2)
    stays = balance.candidates[1]
    stays.in_flight = 7
    balance.failed(balance.candidates[0], Failure.UNREACHABLE, 0.0, 0.5)
    balance.replace(["r1", "r9"])
    assert [each.peer for each in balance.candidates] == ["r1", "r9"]
    assert balance.candidates[0] is stays
    assert set(shares(balance)) == {"r9"}


class Lives(RuleBasedStateMachine):
    """Replicas come, fail in every way, answer and go."""

    @initialize(count=st.integers(1, 6))
    def begin(self, count: int) -> None:
        self.balance = balance_of(count)
        self.now = 0.0

    @rule(peers=st.sets(st.sampled_from([f"r{n}" for n in range(8)]), min_size=1))
    def change(self, peers: set[str]) -> None:
        self.balance.replace(sorted(peers))

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 7), failure=st.sampled_from(Failure), chance=st.floats(0, 0.999))
    def fail(self, which: int, failure: Failure, chance: float) -> None:
        candidate = self._one(which)
        for _ in range(TERMS.failures):
            self.balance.failed(candidate, failure, self.now, chance)

    @rule(which=st.integers(0, 7))
    def answer(self, which: int) -> None:
        candidate = self._one(which)
        self.balance.succeeded(candidate, self.now, 0.01)
        assert not candidate.is_out

    def _one(self, which: int) -> Candidate[str]:
        candidates = self.balance.candidates
        return candidates[which % len(candidates)]

    @invariant()
    def somebody_is_chosen(self) -> None:
        assert self.balance.choose(self.now, drawn(int(self.now)).random) is not None

    @invariant()
    def nobody_is_out_for_longer_than_the_longest(self) -> None:
        for each in self.balance.candidates:
            assert each.out_until - self.now <= TERMS.out.last_s


TestLives = Lives.TestCase


@given(st.integers(2, 9), st.data())
def test_for_failing_alone_at_most_half_are_left_out(count: int, data: st.DataObject) -> None:
    balance = balance_of(count)
    for _ in range(count):
        which = data.draw(st.integers(0, count - 1))
        for _ in range(TERMS.failures):
            balance.failed(balance.candidates[which], Failure.BROKEN, 0.0, 0.5)
    assert sum(each.is_out for each in balance.candidates) <= count // 2
