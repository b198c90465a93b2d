"""Own tokens, other issuers' tokens, and where keys come from.

What PyJWT makes and takes is held against joserfc and against `cryptography` alone.
"""

import asyncio
import contextlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwk as other_jwk
from joserfc import jwt as other_jwt

from borough.errors import ConfigurationError, Unauthenticated, Unavailable
from borough.gateway.key_server import keys_at
from borough.gateway.keys import KeySet, KeyTimes, OwnKeys, keys_in
from borough.gateway.tokens import OwnIssuer
from borough.services.identity import TokenIssuer
from borough.testing.clock import ManualClock
from borough.transports.http.message import Request, Response
from tests.gateway.forging import es256, rs256, text64, unbase64
from tests.gateway.issuing import EC_KEY, RSA_KEY, Office, Source, ec_jwk, rsa_jwk
from tests.gateway.library import Town
from tests.transports.http.listening import Service


async def refusal(office: Office, wrong: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await office.check.principal(wrong)
    return caught.value.detail


# joserfc calls EdDSA by its newer name, Ed25519 (RFC 9864), and says so.
KNOWS_EDDSA = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@KNOWS_EDDSA
async def test_another_library_verifies_our_tokens(tmp_path: Path) -> None:
    town = Town(tmp_path)
    issuer: TokenIssuer = town.issuer
    made = await issuer.issue("anna", scopes=["a", "b"], claims={"name": "Änna"})
    published = other_jwk.KeySet.import_key_set(json.loads(await town.keys.document()))
    read = other_jwt.decode(made, published, algorithms=["EdDSA"])
    now = int(town.clock.epoch_s())
    assert read.header == {"alg": "EdDSA", "kid": published.keys[0].kid, "typ": "at+jwt"}
    assert read.claims.pop("jti")
    assert read.claims == {
        "iss": "urn:borough:library",
        "aud": "library",
        "sub": "anna",
        "scope": "a b",
        "name": "Änna",
        "iat": now,
        "exp": now + 900,
    }
    principal = await town.identity.tokens.principal(made)
    assert (principal.subject, principal.scopes, principal.claims) == (
        "anna",
        ("a", "b"),
        {"name": "Änna"},
    )


@KNOWS_EDDSA
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_tokens_and_keys_made_by_another_library_are_taken(algorithm: str) -> None:
    keys: dict[str, other_jwk.Key] = {
        "RS256": other_jwk.RSAKey.generate_key(2048, {"kid": "r"}),
        "ES256": other_jwk.ECKey.generate_key("P-256", {"kid": "e"}),
        "EdDSA": other_jwk.OKPKey.generate_key("Ed25519", {"kid": "o"}),
    }
    office = Office(Source(*(dict(key.as_dict(private=False)) for key in keys.values())))
    now = int(office.clock.epoch_s())
    made = other_jwt.encode(
        {"alg": algorithm, "kid": keys[algorithm].kid},
        {"iss": "https://id.example", "aud": "library", "sub": "anna", "iat": now, "exp": now + 60},
        keys[algorithm],
        algorithms=[algorithm],
    )
    assert (await office.check.principal(made)).subject == "anna"
    changed = f"{made[:-8]}{'A' if made[-8] != 'A' else 'B'}{made[-7:]}"
    assert await refusal(office, changed) == "The token's signature is not valid"


async def test_an_issuer_uses_only_the_algorithms_it_was_given() -> None:
    office = Office(Source(rsa_jwk(), ec_jwk()), algorithms=("ES256",))
    assert (
        await office.check.principal(office.token("ES256", "e", es256(EC_KEY)))
    ).subject == "anna"
    detail = await refusal(office, office.token("RS256", "r", rs256(RSA_KEY)))
    assert detail == "The token is signed by an algorithm that its issuer may not use"


async def test_a_key_is_bound_to_its_algorithm() -> None:
    office = Office(Source(rsa_jwk(), ec_jwk()))
    detail = await refusal(office, office.token("ES256", "r", es256(EC_KEY)))
    assert detail == "The token's algorithm is not the one of its key"


async def test_an_unknown_algorithm_is_a_fault_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="choose from EdDSA, ES256, RS256"):
        Office(Source(), algorithms=("HS256",))


async def test_without_a_key_id_only_a_sole_key_will_do() -> None:
    sole = Office(Source(ec_jwk()))
    assert (await sole.check.principal(sole.token("ES256", None, es256(EC_KEY)))).subject == "anna"
    several = Office(Source(ec_jwk(), rsa_jwk()))
    detail = await refusal(several, several.token("ES256", None, es256(EC_KEY)))
    assert detail == "The token is signed by a key (kid) that is not known here"


@pytest.mark.parametrize(
    "broken",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "e"},
        {"kty": "EC", "crv": "P-256", "kid": "e", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "kid": "e"},
        {"kty": "RSA", "kid": "e", "n": 5, "e": "AQAB"},
        {"kty": "OKP", "crv": "Ed25519", "kid": 7, "x": "AA"},
        ec_jwk(use="enc"),
        ec_jwk(key_ops=["sign"]),
        ec_jwk(alg="ES384"),
        ec_jwk(alg=["ES256"]),
        ec_jwk(d="AA"),
        {**ec_jwk(), "crv": "P-384"},
        {**ec_jwk(), "kty": ["EC"]},
        {"kty": "OKP", "crv": "Ed448", "kid": "e", "x": text64(b"x" * 57), "alg": "EdDSA"},
        rsa_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), kid="e"),
        "text",
    ],
)
async def test_an_unusable_key_is_left_out_and_does_not_cost_the_others(broken: Any) -> None:
    office = Office(Source(broken, rsa_jwk()))
    assert (
        await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    ).subject == "anna"
    detail = await refusal(office, office.token("ES256", "e", es256(EC_KEY)))
    assert detail == "The token is signed by a key (kid) that is not known here"


async def test_an_unknown_key_id_reads_the_keys_again_once_in_thirty_seconds() -> None:
    source = Source(rsa_jwk())
    office = Office(source)
    new = office.token("ES256", "e", es256(EC_KEY))
    await refusal(office, new)
    source.keys.append(ec_jwk())
    await refusal(office, new)
    assert source.readings == 1
    office.clock.advance(30)
    assert (await office.check.principal(new)).subject == "anna"
    assert source.readings == 2


async def test_keys_are_read_again_after_ten_minutes() -> None:
    source = Source(rsa_jwk())
    office = Office(source)
    await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    office.clock.advance(601)
    source.keys = [ec_jwk()]
    await refusal(office, office.token("RS256", "r", rs256(RSA_KEY)))
    assert source.readings == 2


async def test_old_keys_serve_for_an_hour_while_the_issuer_is_away() -> None:
    source = Source(rsa_jwk())
    office = Office(source)
    await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    source.is_away = True
    office.clock.advance(4200)
    await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    office.clock.advance(1)
    with pytest.raises(Unavailable, match="cannot be had now"):
        await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))


async def test_a_token_of_a_new_key_is_not_refused_while_the_issuer_is_away() -> None:
    source = Source(rsa_jwk())
    office = Office(source)
    await office.check.principal(office.token("RS256", "r", rs256(RSA_KEY)))
    source.keys.append(ec_jwk())
    source.is_away = True
    new = office.token("ES256", "e", es256(EC_KEY))
    for seconds in (30, 1):
        office.clock.advance(seconds)
        with pytest.raises(Unavailable, match="cannot be had now"):
            await office.check.principal(new)
    source.is_away = False
    office.clock.advance(30)
    assert (await office.check.principal(new)).subject == "anna"
    await refusal(office, office.token("ES256", "another", es256(EC_KEY)))


async def test_without_any_keys_a_token_is_neither_taken_nor_refused() -> None:
    source = Source()
    office = Office(source)
    good = office.token("RS256", "r", rs256(RSA_KEY))
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            await office.check.principal(good)
        assert caught.value.retry_after_s == 5
    assert source.readings == 1
    source.keys = [rsa_jwk()]
    office.clock.advance(5)
    assert (await office.check.principal(good)).subject == "anna"


async def test_many_tokens_at_once_read_the_keys_once() -> None:
    source = Source(rsa_jwk())
    office = Office(source)
    made = [office.token("RS256", "r", rs256(RSA_KEY), f"user{n}") for n in range(20)]
    found = await asyncio.gather(*map(office.check.principal, made))
    assert [each.subject for each in found] == [f"user{n}" for n in range(20)]
    assert source.readings == 1


async def test_the_memory_of_tokens_is_bounded_and_forgets_after_five_minutes() -> None:
    office = Office(Source(rsa_jwk()))
    made = [office.token("RS256", "r", rs256(RSA_KEY), f"user{n}") for n in range(3)]
    for each in made:
        await office.check.principal(each)
    assert [office.check.remembered(each) is None for each in made] == [True, False, False]
    office.clock.advance(90)
    assert office.check.remembered(made[2]) is None


async def test_keys_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [rsa_jwk()]}))
    key = await KeySet(keys_in(path), ManualClock()).find("r")
    assert key is not None
    assert key.algorithm_name == "RS256"


async def test_keys_come_from_a_url_and_a_redirect_is_not_followed() -> None:
    async def answer(request: Request) -> Response:
        if request.path == "/moved":
            return Response(302, [(b"location", b"/jwks")])
        return Response(200, [], json.dumps({"keys": [rsa_jwk()]}).encode())

    service = await Service.open(answer)
    try:
        url = f"http://127.0.0.1:{service.origin[1]}"
        times = KeyTimes(unknown_s=30)
        assert await KeySet(keys_at(f"{url}/jwks"), ManualClock(), times).find("r") is not None
        with pytest.raises(Unavailable):
            await KeySet(keys_at(f"{url}/moved"), ManualClock(), times).find("r")
    finally:
        await service.server.close()


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["head", "body"])
async def test_a_key_server_that_drips_is_cut_off_and_takes_no_thread_from_others(
    begins: bytes,
) -> None:
    drips, asked, left = True, asyncio.Event(), asyncio.Event()
    document = json.dumps({"keys": [rsa_jwk()]}).encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not drips:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + document)
        else:
            asked.set()
            writer.write(begins)
            dripping = asyncio.ensure_future(_drip(writer))
            await reader.read()
            dripping.cancel()
            left.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        read = keys_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout_s=0.5)
        async with asyncio.timeout(30):
            is_cut_first = True
            while is_cut_first:  # a machine that stands still for as long lets nothing come first
                reading = asyncio.ensure_future(read())
                await asked.wait()
                await asyncio.to_thread(lambda: None)
                is_cut_first = reading.done()
                with pytest.raises(TimeoutError, match="did not give its keys within 1 s"):
                    await reading
                await left.wait()
                asked.clear()
                left.clear()
            drips = False
            found = b""
            while not found:
                with contextlib.suppress(TimeoutError):
                    found = await read()
            assert found == document


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "url", ["http://id.example/jwks", "file:///etc/passwd", "ftp://127.0.0.1/x"]
)
def test_keys_come_only_over_https(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must come over https"):
        keys_at(url)


async def test_a_key_is_made_at_the_first_start_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    await OwnKeys(folder, ManualClock()).open()
    assert [path.name for path in folder.iterdir()] == ["0001.jwk"]
    assert stat.S_IMODE((folder / "0001.jwk").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    several = [OwnKeys(tmp_path / "keys", ManualClock(seed=seed)) for seed in range(8)]
    found = await asyncio.gather(*(keys.newest() for keys in several))
    assert len({key.kid for key in found}) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["0001.jwk"]


async def test_after_a_rotation_both_keys_count_in_every_process(tmp_path: Path) -> None:
    one, other = Town(tmp_path), Town(tmp_path)
    old = await one.issuer.issue("anna")
    assert (await other.identity.tokens.principal(old)).subject == "anna"
    await one.keys.rotate()
    new = await one.issuer.issue("bert")
    assert len({json.loads(unbase64(each.split(".")[0]))["kid"] for each in (old, new)}) == 2
    other.clock.advance(1)
    assert (await other.identity.tokens.principal(new)).subject == "bert"
    assert (await Town(tmp_path).identity.tokens.principal(old)).subject == "anna"


async def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    await OwnKeys(tmp_path, ManualClock()).open()
    (tmp_path / "0001.jwk").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        await OwnKeys(tmp_path, ManualClock()).open()


async def test_a_broken_key_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "0001.jwk").write_text("{}")
    (tmp_path / "0001.jwk").chmod(0o600)
    with pytest.raises(ConfigurationError, match="remove it to have a new key made"):
        await OwnKeys(tmp_path, ManualClock()).open()


async def test_a_data_folder_that_is_a_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(ConfigurationError, match="give another data folder, mend its rights"):
        await OwnKeys(tmp_path / "keys", ManualClock()).open()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subject": ""}, "1 to 255 characters"),
        ({"subject": "a" * 256}, "1 to 255 characters"),
        ({"subject": "a", "scopes": "admin"}, "a sequence of names"),
        ({"subject": "a", "scopes": ["two words"]}, "without spaces"),
        ({"subject": "a", "claims": {"exp": 1, "iss": "me"}}, "exp, iss are the issuer's"),
        ({"subject": "a", "lifetime_s": 3601}, "1 to 3600 seconds"),
        ({"subject": "a", "lifetime_s": 0}, "1 to 3600 seconds"),
        ({"subject": "a", "claims": {"x": "y" * 9000}}, "above 8 KiB"),
        ({"subject": "a", "claims": {"x": json.loads("[" * 64 + "]" * 64)}}, "more than 64 levels"),
    ],
)
async def test_the_issuer_does_not_make_what_the_edge_would_not_take(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        await Town(tmp_path).issuer.issue(**arguments)


def test_the_audience_may_differ_from_the_system(tmp_path: Path) -> None:
    clock = ManualClock()
    issuer = OwnIssuer(
        "library", OwnKeys(tmp_path, clock), clock, audience="https://library.example"
    )
    assert issuer.issuer().audience == "https://library.example"
    assert issuer.issuer().name == "urn:borough:library"
