"""What an operation's argument may be named, and what a debugger may look at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from inspect import signature
from types import FrameType
from typing import Any, Protocol

from borough import contract, post
from borough.clock import SystemClock
from borough.contracts.operation import Operation
from borough.contracts.reading import read_contract
from borough.ports import Send
from borough.runtime.client import Caller, make_client
from borough.services.context import Call


@contract("post", version="1.0")
class Post(Protocol):
    """Sends letters."""

    @post("/letters")
    async def letter(self, send_from: str) -> None: ...

    @post("/parcels")
    async def parcel(self, argument: str = "empty") -> None: ...


class Noting:
    """A transport that gives back what it was given."""

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""

        def send(arguments: Sequence[Any], call: Call) -> Any:
            return arguments

        return send

    async def close(self) -> None:
        """Nothing is open."""


def _looking(frame: FrameType, _event: str, _argument: object) -> Any:
    assert frame.f_locals is not None  # which makes them, and Python writes them back
    return _looking


def test_an_argument_stays_what_it_is_under_a_debugger_whatever_its_name() -> None:
    client: Any = make_client(read_contract(Post), Noting(), Caller("desk", SystemClock()))
    before = sys.gettrace()
    sys.settrace(_looking)
    try:
        found = client.letter("here"), client.letter(send_from="there"), client.parcel("full")
    finally:
        sys.settrace(before)
    assert found == (("here",), ("there",), ("full",))
    assert client.parcel() == ("empty",)
    assert str(signature(client.parcel)) == "(argument='empty')"
