"""At one address another version may come to stand: a refusal of the first one does not last."""

import pytest

from borough.errors import ContractMismatch
from borough.ports import Replica
from borough.runtime.discovery import Directory
from borough.testing.clock import ManualClock
from borough.transports.http.contacts import Ask, Incompatible
from borough.transports.http.dependency import Dependencies
from borough.transports.http.message import Request, Response
from tests.transports.http.conftest import MakeClient, ServeOn
from tests.transports.http.listening import TEXT


async def test_what_was_refused_is_asked_for_once_the_replica_has_been_met_anew(
    serve: ServeOn, make_client: MakeClient
) -> None:
    async def answer(_: Request) -> Response:
        return Response(200, TEXT, b"found")

    clock, greetings = ManualClock(), list[str]()

    async def greet(ask: Ask) -> Incompatible:
        greetings.append((await ask("/borough/hello")).body.decode())
        return {"find": lambda: ContractMismatch("find is another one")} if not fits else {}

    fits = False
    origin = (await serve(answer)).origin
    directory = Directory({"search": [Replica("search", *origin)]})
    dependency = Dependencies(directory, make_client, clock, greet=greet).of("search")
    for _ in range(2):
        with pytest.raises(ContractMismatch):
            await dependency.exchange("GET", "/items", operation="find")
    fits = True
    with pytest.raises(ContractMismatch):
        await dependency.exchange("GET", "/items", operation="find")
    assert len(greetings) == 1
    clock.advance(5.0)
    found = await dependency.exchange("GET", "/items", operation="find")
    assert (found.body, len(greetings)) == (b"found", 2)
