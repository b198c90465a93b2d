"""A fake answers as it was told, notes what it was asked, and refuses what its contract has not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol, cast

import pytest

from borough import Problem, Struct, contract, get, post
from borough.errors import ServiceFailure
from borough.testing import calls, fake


class Card(Struct):
    number: str


class Declined(Problem, status=402):
    """The issuer refused."""


class Stolen(Problem, status=403):
    """No operation of the bank raises it."""


@contract("bank", version="1.0")
class Bank(Protocol):
    """Keeps money."""

    @post("/charges", raises=[Declined])
    async def charge(self, cents: int, card: Card, note: str = "none") -> int: ...

    @get("/balance")
    async def balance(self) -> Card: ...

    @get("/log", raises=[Declined])
    def log(self, limit: int = 2) -> AsyncIterator[int]: ...


CARD = Card(number="4242")


async def test_a_value_answers() -> None:
    assert await fake(Bank, charge=5).charge(1, CARD) == 5
    assert await fake(Bank, balance=CARD).balance() == CARD


async def test_a_function_answers_whether_async_or_not() -> None:
    async def later(cents: int, card: Card, note: str) -> int:
        return cents * 2

    assert await fake(Bank, charge=later).charge(4, CARD) == 8
    assert await fake(Bank, charge=lambda cents, card, note: cents).charge(4, CARD) == 4


async def test_an_exception_is_raised() -> None:
    with pytest.raises(Declined):
        await fake(Bank, charge=Declined()).charge(1, CARD)
    with pytest.raises(Declined):
        await fake(Bank, charge=Declined).charge(1, CARD)


def test_a_value_that_the_contract_does_not_promise_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"in the fake bank\.Bank\.charge answered out of contract: str in"
    ):
        fake(Bank, charge="five")
    with pytest.raises(
        TypeError, match=r"bank\.Bank\.balance answered out of contract: NoneType in"
    ):
        fake(Bank, balance=None)


async def test_a_stream_gives_its_items_or_raises() -> None:
    assert [number async for number in fake(Bank, log=[1, 2]).log()] == [1, 2]
    assert [n async for n in fake(Bank, log=lambda limit: range(limit)).log(3)] == [0, 1, 2]
    with pytest.raises(Declined):
        await anext(aiter(fake(Bank, log=Declined()).log()))


async def test_a_stream_may_come_from_an_asynchronous_generator_which_ends_with_it() -> None:
    ended = []

    async def told(limit: int) -> AsyncIterator[int]:
        try:
            yield limit
            raise Declined()
        finally:
            ended.append(limit)

    bank = fake(Bank, log=told)
    items = aiter(bank.log(3))
    assert await anext(items) == 3
    with pytest.raises(Declined):
        await anext(items)
    assert ended == [3]
    left = cast("AsyncGenerator[int]", bank.log(4))
    assert await anext(left) == 4
    await left.aclose()
    assert ended == [3, 4]


async def test_what_a_function_answers_beside_the_contract_fails_as_that_of_a_service_does() -> (
    None
):
    def stolen(cents: int, card: Card, note: str) -> int:
        raise Stolen()

    async def log(limit: int) -> AsyncIterator[str]:
        yield "one"

    bank = fake(Bank, charge=lambda cents, card, note: "five", log=lambda limit: ["one"])
    with pytest.raises(ServiceFailure, match="charge answered out of contract: str in"):
        await bank.charge(1, CARD)
    with pytest.raises(ServiceFailure, match="log answered out of contract: str in"):
        await anext(aiter(bank.log()))
    other = fake(Bank, charge=stolen, log=log)
    with pytest.raises(ServiceFailure, match="raised Stolen, which its contract does not declare"):
        await other.charge(1, CARD)
    with pytest.raises(ServiceFailure, match="log answered out of contract: str in"):
        await anext(aiter(other.log()))


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (
            {"charge": lambda: 5},
            r"in the fake of Bank charge takes \(\), its contract \(cents, card, note\)",
        ),
        ({"charge": Stolen()}, "Bank.charge raised Stolen, which its contract does not declare"),
        ({"log": Stolen}, "Bank.log raised Stolen, which its contract does not declare"),
        ({"log": [1, "two"]}, "Bank.log answered out of contract: str in place of int"),
        ({"log": 7}, "Bank.log is a stream; give a sequence of its items"),
    ],
)
def test_an_answer_that_cannot_be_is_refused_before_it_is_asked_for(
    answers: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        fake(Bank, **answers)


async def test_calls_are_noted_with_their_defaults() -> None:
    bank = fake(Bank, charge=1, log=[])
    await bank.charge(3, card=CARD)
    assert [number async for number in bank.log(limit=5)] == []
    assert calls(bank) == [("charge", (3, CARD, "none")), ("log", (5,))]


async def test_what_has_no_answer_says_so_when_it_is_called() -> None:
    with pytest.raises(NotImplementedError, match="the fake of Bank has no answer for charge"):
        await fake(Bank).charge(1, CARD)


async def test_python_itself_would_refuse_these_arguments() -> None:
    bank = fake(Bank, charge=1)
    with pytest.raises(TypeError, match="missing 'card'"):
        await bank.charge(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'cad'"):
        await bank.charge(1, cad=CARD)  # type: ignore[call-arg]


def test_an_answer_to_no_operation_is_refused() -> None:
    with pytest.raises(TypeError, match="Bank has no operation chrage; it has charge, balance"):
        fake(Bank, chrage=1)


def test_only_a_fake_knows_its_calls() -> None:
    with pytest.raises(TypeError, match="was not made by"):
        calls(object())
