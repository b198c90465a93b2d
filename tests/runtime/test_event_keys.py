"""The keys of calls that an event's handler makes: one for each, and the same ones in every run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from borough import IDEMPOTENCY_KEY, contract, post
from borough.clock import SystemClock
from borough.contracts.operation import Operation
from borough.contracts.reading import read_contract
from borough.ports import Send
from borough.runtime.client import Caller, make_client
from borough.services.context import CURRENT, NO_DEADLINE, Call


@contract("wallet", version="1.0")
class Wallet(Protocol):
    """Holds money."""

    @post("/credits", idempotent_by=IDEMPOTENCY_KEY)
    async def credit(self, cents: int) -> None: ...

    @post("/debits", idempotent_by=IDEMPOTENCY_KEY)
    async def debit(self, cents: int) -> None: ...


class Noting:
    """A transport that only notes the keys it is given."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []

    def bind(self, operation: Operation) -> Send:
        async def send(arguments: Sequence[Any], call: Call) -> None:
            self.keys.append(call.key)

        return send

    async def close(self) -> None:
        """Nothing is open."""


async def keys_of_a_run() -> list[str | None]:
    """What keys the calls of one run have."""
    noting = Noting()
    client: Wallet = make_client(read_contract(Wallet), noting, Caller("game", SystemClock()))
    event = Call("game.pay", "game", "game", None, NO_DEADLINE, None, "game.pay/7", "7", made={})
    before = CURRENT.set(event)
    try:
        await client.credit(5)
        await client.debit(5)
        await client.credit(5)
    finally:
        CURRENT.reset(before)
    return noting.keys


async def test_the_same_call_twice_is_two_calls_in_every_run() -> None:
    keys = await keys_of_a_run()
    assert keys == [
        "game.pay/7:wallet.Wallet.credit",
        "game.pay/7:wallet.Wallet.debit",
        "game.pay/7:wallet.Wallet.credit:2",
    ]
    assert await keys_of_a_run() == keys
