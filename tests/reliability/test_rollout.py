"""A rollout always ends, and never by leaving fewer replicas than there were."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.rollout import FINAL, TRANSITIONS, Event, State, Tally, is_much_worse

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)


def test_every_state_but_the_last_ones_has_a_way_on_and_the_last_ones_have_none() -> None:
    assert {state for state, _ in TRANSITIONS} == set(STATES) - FINAL
    assert {"checking", *TRANSITIONS.values()} == set(STATES)


def test_trouble_before_the_start_changes_nothing_and_later_brings_the_old_ones_back_first() -> (
    None
):
    assert TRANSITIONS["checking", "trouble"] == "dismissing"
    for state in ("starting", "watching", "retiring"):
        assert TRANSITIONS[state, "trouble"] == "restoring"
    assert TRANSITIONS["restoring", "fine"] == "clearing"


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=40))
def test_at_no_time_there_are_fewer_replicas_than_at_first(wanted: int, fates: list[bool]) -> None:
    state: State = "checking"
    old, new = wanted, 0
    chances = iter(fates)
    for _ in range(10 * wanted + 20):
        if state in FINAL:
            break
        fails = next(chances, False) and (state, "trouble") in TRANSITIONS
        event: Event = "trouble" if fails else "fine"
        if not fails:
            if state == "starting":
                new += 1
            elif state == "retiring":
                old -= 1
                event = "fine" if old else "last"
            elif state == "restoring":
                old = wanted
            elif state == "clearing":
                new = 0
        state = TRANSITIONS[state, event]
        assert old + new >= wanted
    assert state in FINAL
    assert state == "stuck" or (old, new) in ((wanted, 0), (0, wanted))


@given(st.integers(0, 10_000), st.integers(0, 4))
def test_few_failures_are_no_reason_to_go_back(requests: int, failures: int) -> None:
    assert not is_much_worse(Tally(requests + failures, failures), Tally())


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_what_fails_on_both_is_no_reason_to_go_back(requests: int, failures: int) -> None:
    tally = Tally(requests + failures, failures)
    assert not is_much_worse(tally, tally)


def test_a_version_that_fails_well_above_the_other_is_much_worse() -> None:
    assert is_much_worse(Tally(100, 10), Tally(100, 0))
    assert not is_much_worse(Tally(100, 5), Tally(100, 0))
    assert not is_much_worse(Tally(100, 20), Tally(100, 10))
    assert is_much_worse(Tally(100, 30), Tally(100, 10))


@given(st.integers(0, 1000), st.integers(0, 100), st.integers(0, 1000), st.integers(0, 100))
def test_a_replica_that_was_begun_anew_has_never_answered_less_than_nothing(
    requests: int, failures: int, requests_before: int, failures_before: int
) -> None:
    now = Tally(requests + failures, failures)
    lately = now.since(Tally(requests_before + failures_before, failures_before))
    assert min(lately.requests, lately.failures) >= 0


def test_an_old_replica_that_was_begun_anew_does_not_make_the_new_version_worse() -> None:
    old = Tally(1100, 40).since(Tally(1000, 100))
    assert not is_much_worse(Tally(200, 8), old)
