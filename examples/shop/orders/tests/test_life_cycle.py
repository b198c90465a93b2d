"""The life of an order, as pure data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.orders.contract import OrderState
from shop.orders.life_cycle import AT_REST, MESSAGES, NEXT, Step, after, message

KNOWN = set(OrderState) - {OrderState.UNKNOWN}


def walk(steps: list[Step]) -> list[OrderState]:
    """The states an order goes through; a step that is not possible changes nothing."""
    states = [OrderState.PLACED]
    for step in steps:
        states.append(after(states[-1], step) or states[-1])
    return states


def test_every_state_can_be_reached_and_says_something() -> None:
    assert {OrderState.PLACED, *NEXT.values()} == KNOWN
    assert all(MESSAGES[state] for state in KNOWN)


def test_an_order_on_its_way_can_go_on() -> None:
    assert {state for state, _ in NEXT} == (KNOWN - AT_REST) | {OrderState.PAID}


@pytest.mark.parametrize("state", [OrderState.DECLINED, OrderState.CANCELLED])
def test_an_order_that_has_ended_stays_so(state: OrderState) -> None:
    assert not [step for step in Step if after(state, step)]


@given(st.lists(st.sampled_from(Step), max_size=40))
def test_money_moves_only_after_the_stock_is_held_and_before_it_is_released(
    steps: list[Step],
) -> None:
    states = walk(steps)
    if OrderState.PAID in states:
        assert states.index(OrderState.RESERVED) < states.index(OrderState.PAYING)
        assert OrderState.DECLINED not in states
    if OrderState.REFUNDING in states:
        assert states.index(OrderState.PAID) < states.index(OrderState.REFUNDING)


@given(st.lists(st.sampled_from(Step), max_size=40))
def test_no_state_is_entered_twice(steps: list[Step]) -> None:
    states = walk(steps)
    entered = [state for state, last in zip(states[1:], states, strict=False) if state != last]
    assert len(entered) == len(set(entered))


def test_a_message_carries_its_reason() -> None:
    assert message(OrderState.PAID) == "Paid. Thank you!"
    assert message(OrderState.DECLINED, "card declined").endswith("(card declined)")
