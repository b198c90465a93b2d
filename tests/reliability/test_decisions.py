"""Leases, keys and paces decide over values alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.errors import KeyInUse, KeyReused
from borough.reliability.backoff import Backoff
from borough.reliability.idempotency import (
    LONGEST_MARK_S,
    SALT_LENGTH,
    Marked,
    StoredAnswer,
    decide,
    fingerprint,
    fits,
)
from borough.reliability.inbox import stable_key
from borough.reliability.lease import LeaseRow, Terms, take
from borough.reliability.outbox import RelayPace, RelayTerms

TERMS = Terms(lasting_s=6.0, renewal_s=2.0)


def test_a_role_that_nobody_had_is_free() -> None:
    assert take(None, "relay", "me", 100.0, TERMS) == LeaseRow("relay", "me", 1, 106.0)


def test_a_role_is_its_holders_until_it_runs_out() -> None:
    row = LeaseRow("relay", "other", 7, 100.0)
    assert take(row, "relay", "me", 99.9, TERMS) is None
    assert take(row, "relay", "me", 100.0, TERMS) == LeaseRow("relay", "me", 8, 106.0)


def test_a_role_held_for_longer_than_any_lease_is_free_as_the_clock_was_set_back() -> None:
    row = LeaseRow("relay", "dead", 7, 108.1)
    assert take(row, "relay", "me", 100.0, TERMS) == LeaseRow("relay", "me", 8, 106.0)
    assert take(row, "relay", "me", 100.2, TERMS) is None


def test_ones_own_role_taken_anew_fences_the_past_self() -> None:
    row = LeaseRow("relay", "me", 7, 100.0)
    taken = take(row, "relay", "me", 50.0, TERMS)
    assert taken is not None
    assert taken.epoch == 8


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20)), max_size=50))
def test_epochs_never_repeat_whoever_takes(attempts: list[tuple[str, float]]) -> None:
    row: LeaseRow | None = None
    now, epochs = 0.0, [0]
    for owner, wait in attempts:
        now += wait
        taken = take(row, "relay", owner, now, TERMS)
        if taken is not None:
            row = taken
            epochs.append(taken.epoch)
    assert epochs == sorted(set(epochs))


STORED = StoredAnswer("value", b"1", fingerprint(b"print", b"s" * SALT_LENGTH))


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(min_size=16, max_size=16))
def test_a_fingerprint_is_that_of_one_request(one: bytes, other: bytes, salt: bytes) -> None:
    assert fits(fingerprint(one, salt), one)
    assert fits(fingerprint(one, salt), other) == (one == other)


def test_a_fingerprint_does_not_show_the_request() -> None:
    request = b'{"card":"4242424242424242"}'
    salts = (b"s" * SALT_LENGTH, b"t" * SALT_LENGTH)
    prints = [fingerprint(request, salt) for salt in salts]
    assert prints[0] != prints[1]  # nor that two requests are the same
    assert b"4242" not in prints[0]


def test_a_request_that_an_earlier_version_stored_is_still_known() -> None:
    request = b'{"cents":100}'
    assert fits(request, request)
    assert not fits(request, b'{"cents":101}')


def test_a_stored_answer_is_replayed_whoever_runs() -> None:
    assert decide(STORED, Marked("other", 1e9), b"print", 0.0) is STORED


def test_another_request_under_an_answered_key_is_refused() -> None:
    with pytest.raises(KeyReused):
        decide(STORED, None, b"other", 0.0)


def test_a_running_call_holds_its_key_until_its_mark_runs_out() -> None:
    with pytest.raises(KeyInUse) as refused:
        decide(None, Marked("other", 10.0), b"print", 4.0)
    assert refused.value.retry_after_s == 6.0
    assert decide(None, Marked("other", 10.0), b"print", 10.0) is None


def test_a_mark_beyond_the_longest_is_run_out_as_the_clock_was_set_back() -> None:
    beyond = 4.0 + LONGEST_MARK_S + 1.0
    assert decide(None, Marked("dead", beyond), b"print", 4.0) is None
    with pytest.raises(KeyInUse):
        decide(None, Marked("other", beyond - 1.0), b"print", 4.0)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_nothing_and_the_ceiling(attempt: int, chance: float) -> None:
    backoff = Backoff(0.1, 10.0)
    assert 0 <= backoff.delay_s(attempt, chance) <= backoff.ceiling_s(attempt) <= 10.0


def test_ceilings_double_up_to_the_last() -> None:
    backoff = Backoff(0.1, 10.0)
    assert [backoff.ceiling_s(n) for n in (1, 2, 3, 8, 9)] == [0.1, 0.2, 0.4, 10.0, 10.0]


def test_an_idle_relay_polls_more_slowly_and_a_busy_one_at_once() -> None:
    pace = RelayPace(RelayTerms())
    assert pace.moved(500) == 0.0
    waits = [pace.moved(0) for _ in range(6)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.2, 1.0)
    pace.moved(1)
    assert pace.moved(0) == 0.2


def test_a_failing_relay_waits_longer_each_time_and_forgets_it_on_success() -> None:
    pace = RelayPace(RelayTerms())
    assert [round(pace.failed(0.5), 3) for _ in range(3)] == [0.05, 0.1, 0.2]
    pace.moved(1)
    assert round(pace.failed(0.5), 3) == 0.05


@given(st.text(), st.text())
def test_a_stable_key_fits_a_header_and_tells_events_apart(one: str, other: str) -> None:
    key = stable_key(one, "orders.mark_paid")
    assert key == stable_key(one, "orders.mark_paid")
    assert key.isascii()
    assert key.isprintable()
    assert len(key) <= 255
    assert (key == stable_key(other, "orders.mark_paid")) == (one == other)


def test_what_fails_again_and_again_is_moved_one_by_one_until_it_is_through() -> None:
    pace = RelayPace(RelayTerms(batch=4))
    pace.failed(0.5)
    pace.failed(0.5)
    assert pace.batch == 4
    pace.failed(0.5)
    assert pace.batch == 1
    pace.moved(1)
    assert pace.batch == 2
    pace.failed(0.5)
    assert pace.batch == 1
    for _ in range(3):
        pace.moved(1)
    assert pace.batch == 4
