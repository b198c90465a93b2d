"""Structs, events and problems as values: frozen, compared by content, copied and pickled."""

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from borough import UNSET, Event, Instant, Key, OpenEnum, Problem, Struct, Unset


class State(OpenEnum):
    PAID = "paid"
    UNKNOWN = "unknown"


class Money(Struct):
    cents: int
    state: State = State.PAID
    note: str | Unset | None = UNSET


class Paid(Event):
    order_id: Key[str]


class Refused(Problem, status=409):
    """It was refused.

    Nothing was changed.
    """

    reason: str


class Later(Refused):
    after_s: int = 5


class Owed(Refused):
    loan_id: UUID
    cents: Decimal
    since: Instant
    state: State = State.PAID
    note: str | Unset = UNSET


class Silent(Problem):
    __doc__ = "   "


def test_a_struct_is_frozen_and_keyword_only() -> None:
    money = Money(cents=1)
    with pytest.raises(AttributeError):
        money.cents = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Money(1)  # type: ignore[call-arg]
    assert money == Money(cents=1)
    assert hash(money) == hash(Money(cents=1))


def test_an_event_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Paid(order_id="a").order_id = "b"  # type: ignore[misc]


def test_absent_is_not_null() -> None:
    assert msgspec.json.encode(Money(cents=1)) == b'{"cents":1,"state":"paid"}'
    assert msgspec.json.decode(b'{"cents":1,"note":null}', type=Money).note is None
    assert msgspec.json.decode(b'{"cents":1}', type=Money).note is UNSET


def test_a_reader_sees_a_value_of_an_open_enum_that_it_does_not_know_as_unknown() -> None:
    later = msgspec.json.decode(b'{"cents":1,"state":"refunded"}', type=Money)
    assert later.state is State.UNKNOWN


def test_a_problem_inherits_status_and_fields() -> None:
    problem = Later(reason="closed")
    assert (problem.status, problem.values) == (409, {"reason": "closed", "after_s": 5})
    assert (problem.reason, problem.after_s) == ("closed", 5)
    with pytest.raises(TypeError, match="reason"):
        Later()  # type: ignore[call-arg]


def pickled(problem: Later) -> Later:
    found: Later = pickle.loads(pickle.dumps(problem))
    return found


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickled])
def test_a_problem_copies_and_pickles(again: Callable[[Later], Later]) -> None:
    problem = Later(reason="closed", after_s=1)
    found = again(problem)
    assert found == problem
    assert type(found) is Later
    assert hash(found) == hash(problem)
    assert found != Later(reason="open")


def test_the_title_of_a_problem_is_the_first_line_of_its_docstring_or_its_name() -> None:
    assert Refused.title() == "It was refused."
    assert Later.title() == "Later"
    assert Silent.title() == "Silent"
    assert str(Refused(reason="no")) == "It was refused. (reason='no')"


def test_the_text_of_a_problem_has_its_fields_as_they_stand_in_json() -> None:
    since = datetime(2030, 1, 1, tzinfo=UTC)
    owed = Owed(reason="no", loan_id=UUID(int=7), cents=Decimal("1.50"), since=since)
    assert str(owed) == (
        "Owed (reason='no', loan_id='00000000-0000-0000-0000-000000000007', cents='1.50', "
        "since='2030-01-01T00:00:00Z', state='paid')"
    )
    # One that is out of contract has a text, too.
    assert str(Refused(reason=object)) == "It was refused. (reason=<class 'object'>)"  # type: ignore[arg-type]
