"""The edge of a fleet proves itself by a certificate, and is the public to whom it forwards."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from borough.clock import Clock
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.process import Process
from borough.ports import Replica
from borough.runtime.discovery import Directory
from borough.services.context import Principal
from borough.testing.clock import ManualClock
from borough.transports.http import wire
from borough.transports.http.client import ClientResponse, HttpClient
from tests.identity.town import Town

SERVICES = ("library", "readers")


@asynccontextmanager
async def edge(
    town: Town, clock: Clock | None = None
) -> AsyncGenerator[tuple[Process, EdgeProcess]]:
    town.issue("edge")
    process = await town.start(clock=clock)
    replica = Replica("one", *process.internal_origin)
    directory = Directory({name: [replica] for name in SERVICES})
    forwarding = EdgeProcess(
        town.configuration(), SERVICES, directory, port=0, data_folder=town.folder / "data"
    )
    await forwarding.start()
    try:
        yield process, forwarding
    finally:
        await forwarding.stop()


async def ask(
    town: Town, forwarding: EdgeProcess, *request: str, token: str = ""
) -> ClientResponse:
    url = forwarding.edge_url
    assert url is not None
    host, _, port = url.removeprefix("http://").partition(":")
    client = HttpClient()
    town.clients.append(client)
    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    return await client.send((host, int(port)), request[0], request[1], headers)


async def test_a_public_call_goes_on_over_tls_and_an_internal_one_does_not(town: Town) -> None:
    async with edge(town) as (process, forwarding):
        token = await process.front.own_issuer.issue("anna")
        answer = await ask(town, forwarding, "GET", "/library/shelf", token=token)
        assert msgspec.json.decode(answer.body) == {"service": None, "user": "anna", "scopes": []}
        assert (await ask(town, forwarding, "DELETE", "/library/books/emma")).status == 404
        assert (await ask(town, forwarding, "GET", "/readyz")).status == 200
        document = msgspec.json.decode((await ask(town, forwarding, "GET", "/openapi.json")).body)
        assert "/readers/loans" in document["paths"]


async def test_a_header_does_not_make_another_certificate_that_of_the_edge(town: Town) -> None:
    async with edge(town) as (process, _):
        bank = town.caller("bank")
        headers = [
            (wire.SERVICE.encode(), b"edge"),
            (wire.PRINCIPAL.encode(), wire.write_principal(Principal("root"))),
        ]
        refused = await bank.call(process, ("GET", "/library/shelf"), headers)
        assert refused.status == 403
        assert b"bank does not declare library.Library" in refused.body


async def test_who_asks_is_not_told_to_sign_in_where_the_certificate_of_the_edge_has_expired(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock(datetime.now(UTC))
    async with edge(town, clock) as (_, forwarding):
        assert (await ask(town, forwarding, "GET", "/library/shelf")).status == 401
        assert not caplog.records
        clock.advance(2 * 3600)
        for _ in range(2):
            answer = await ask(town, forwarding, "GET", "/library/shelf")
            assert answer.status == 503
            assert b"library cannot take calls now" in answer.body
    told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert told == [
        "library takes nothing that this edge forwards: "
        "The certificate with which edge opened this connection has expired"
    ]
