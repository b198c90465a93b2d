"""Who may call at the internal door."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
from borough.gateway.internal import InternalIdentity, ServiceTokens, inside_limits
from borough.services.context import Principal
from borough.testing.clock import ManualClock
from borough.transports.http import wire
from borough.transports.http.door import Door
from borough.transports.http.limits import ServerLimits
from borough.transports.http.message import Connection
from tests.gateway.library import Seen, Town, request, routes
from tests.transports.http.listening import Service

BURN = "/library/books/emma"
DECLARED = {"readers": {"library.Library"}, "payments": {"bank.Bank"}, "library": set[str]()}


class Inside:
    """The library's internal door."""

    def __init__(self, folder: Path) -> None:
        self.town = Town(folder)
        self.tokens = ServiceTokens(folder / "tokens", self.town.clock)
        self.tokens.open(DECLARED)
        identity = InternalIdentity(self.tokens, DECLARED, self.town.identity)
        self.door = Door(routes(self.town.clock), identity, self.town.clock, strict=False)

    def proof(self, service: str) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.tokens.first_headers(service)}

    async def ask(
        self,
        target: str,
        headers: Mapping[str, str] | None = None,
        connection: Connection | None = None,
        method: str = "DELETE",
    ) -> Seen:
        asked = request(method, target, headers, connection=connection)
        return await Seen.of(await self.door.answer(asked))


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


async def test_a_service_that_declares_the_contract_may_call(inside: Inside) -> None:
    seen = await inside.ask(BURN, inside.proof("readers"))
    assert seen.json == {"service": "readers", "user": None, "scopes": []}


async def test_a_service_may_call_itself(inside: Inside) -> None:
    assert (await inside.ask(BURN, inside.proof("library"))).status == 200


@pytest.mark.parametrize(("method", "target"), [("DELETE", BURN), ("GET", "/library/who")])
async def test_an_undeclared_dependency_is_named(inside: Inside, method: str, target: str) -> None:
    seen = await inside.ask(target, inside.proof("payments"), method=method)
    assert seen.status == 403
    assert seen.detail == (
        "payments does not declare library.Library: add an attribute annotated with Library"
    )


async def test_without_a_proof_an_internal_operation_says_what_it_needs(inside: Inside) -> None:
    seen = await inside.ask(BURN)
    assert seen.status == 401
    assert seen.detail == (
        "library.Library.burn is internal: the calling service must prove itself "
        "with Borough-Service and Borough-Proof"
    )


async def test_without_a_proof_public_operations_answer_as_at_the_edge(inside: Inside) -> None:
    assert (await inside.ask("/library/who", method="GET")).json["service"] is None
    assert (await inside.ask("/library/shelf", method="GET")).status == 401
    token = await inside.town.issuer.issue("anna")
    seen = await inside.ask("/library/shelf", {"Authorization": f"Bearer {token}"}, method="GET")
    assert seen.json == {"service": None, "user": "anna", "scopes": []}


@pytest.mark.parametrize(
    "headers",
    [
        {"Borough-Service": "readers"},
        {"Borough-Service": "readers", "Borough-Proof": ""},
        {"Borough-Service": "readers", "Borough-Proof": "0" * 64},
        {"Borough-Service": "readers", "Borough-Proof": "é"},
        {"Borough-Service": "nobody", "Borough-Proof": "0" * 64},
        {"Borough-Service": "../tokens/readers", "Borough-Proof": "0" * 64},
        {"Borough-Service": "", "Borough-Proof": ""},
    ],
)
async def test_a_wrong_proof_is_refused_even_for_what_is_public(
    inside: Inside, headers: dict[str, str]
) -> None:
    for target, method in ((BURN, "DELETE"), ("/library/who", "GET")):
        seen = await inside.ask(target, headers, method=method)
        assert seen.status == 401
        assert seen.detail.startswith("Borough-Proof does not prove the service")


async def test_the_proof_of_one_service_does_not_prove_another(inside: Inside) -> None:
    headers = {**inside.proof("payments"), "borough-service": "readers"}
    assert (await inside.ask(BURN, headers)).status == 401


async def test_a_proof_holds_for_its_connection_and_no_other(inside: Inside) -> None:
    connection = Connection(("127.0.0.1", 1))
    assert (await inside.ask(BURN, inside.proof("readers"), connection)).status == 200
    assert (await inside.ask(BURN, None, connection)).json["service"] == "readers"
    assert (await inside.ask(BURN, {"Borough-Service": "readers"}, connection)).status == 200
    assert (await inside.ask(BURN, None, Connection(("127.0.0.1", 1)))).status == 401


async def test_a_false_claim_ends_what_the_connection_had_proven(inside: Inside) -> None:
    connection = Connection(("127.0.0.1", 1))
    await inside.ask(BURN, inside.proof("readers"), connection)
    assert (await inside.ask(BURN, {"Borough-Service": "library"}, connection)).status == 401
    assert (await inside.ask(BURN, None, connection)).status == 401
    assert (await inside.ask("/library/who", None, connection, "GET")).status == 401
    assert (await inside.ask(BURN, inside.proof("readers"), connection)).status == 200


async def test_a_principal_is_believed_only_from_a_proven_service(inside: Inside) -> None:
    principal = wire.write_principal(Principal("anna", ("a",))).decode()
    seen = await inside.ask(BURN, {**inside.proof("readers"), "Borough-Principal": principal})
    assert seen.json == {"service": "readers", "user": "anna", "scopes": ["a"]}
    alone = {"Borough-Principal": principal}
    assert (await inside.ask("/library/who", alone, method="GET")).json["user"] is None
    assert (await inside.ask("/library/shelf", alone, method="GET")).status == 401
    broken = await inside.ask(BURN, {**inside.proof("readers"), "Borough-Principal": "!"})
    assert broken.status == 400


async def test_a_proof_is_sent_once_per_connection(inside: Inside) -> None:
    service = await Service.open(inside.door.answer)
    try:
        client = await service.connect()
        proof = b"".join(b"%b: %b\r\n" % field for field in inside.tokens.first_headers("readers"))
        for first in (proof, b"", b""):
            await client.send(b"DELETE /library/books/emma HTTP/1.1\r\nHost: x\r\n%b\r\n" % first)
            status, _, body = await client.answer()
            assert status == 200
            assert b'"service":"readers"' in body
        await client.close()
    finally:
        await service.server.close()


# --- the tokens themselves ------------------------------------------------------------------------


def test_tokens_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    one, other = (ServiceTokens(tmp_path / "tokens", ManualClock(seed=seed)) for seed in (1, 2))
    one.open(["orders", "payments"])
    other.open(["orders", "payments"])
    assert one.first_headers("orders") == other.first_headers("orders")
    assert one.first_headers("orders") != one.first_headers("payments")
    names = sorted(path.name for path in (tmp_path / "tokens").iterdir())
    assert names == ["orders.token", "payments.token"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tokens").iterdir()} == {
        0o600
    }


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    ServiceTokens(tmp_path, ManualClock()).open(["orders"])
    (tmp_path / "orders.token").chmod(0o640)
    with pytest.raises(ConfigurationError, match="may be read by others; run `chmod 600"):
        ServiceTokens(tmp_path, ManualClock()).open(["orders"])


def test_a_broken_token_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "orders.token").write_text("short")
    (tmp_path / "orders.token").chmod(0o600)
    with pytest.raises(ConfigurationError, match="remove it, and the next start makes one"):
        ServiceTokens(tmp_path, ManualClock()).open(["orders"])


def test_a_body_that_an_edge_is_let_hold_is_held_inside_too() -> None:
    assert inside_limits(100_000_000, 400_000_000).held_bytes == 400_000_000
    assert inside_limits(1000, 2000).held_bytes == ServerLimits().held_bytes
