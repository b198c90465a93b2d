"""Who may call what at the edge: every kind of token against every kind of operation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from borough import ANYONE, Problem, contract, post
from borough.contracts.reading import read_contract
from borough.reliability.admission import Gate
from borough.testing.clock import ManualClock
from borough.transports.callee import Callee
from borough.transports.http.door import Door, Identity, Route
from tests.gateway.forging import ABSENT, Forge, hs256, stranger, text64, unsigned
from tests.gateway.library import Seen, Town, request

OPERATIONS = {
    "anyone": ("GET", "/library/who"),
    "user": ("GET", "/library/shelf"),
    "scope": ("POST", "/library/books"),
}

Make = Callable[[Forge], str]
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\n"


def tampered(forge: Forge) -> str:
    """The claims of another user under a signature that was right."""
    head, _, signature = forge.make().split(".")
    return f"{head}.{forge.make(sub='root').split('.')[1]}.{signature}"


def respelt(token: str) -> str:
    """The same bytes, written with other unused bits at their end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


def nested(levels: int) -> Any:
    """Objects within one another."""
    inner: Any = "anna"
    for _ in range(levels):
        inner = {"in": inner}
    return inner


REFUSED: dict[str, tuple[Make, str]] = {
    "expired": (lambda f: f.make(iat=f.now - 1000, exp=f.now - 31), "The token has expired"),
    "nbf in the future": (lambda f: f.make(nbf=f.now + 31), "The token is not valid yet"),
    "iat in the future": (lambda f: f.make(iat=f.now + 31), "The token is not valid yet"),
    "wrong audience": (lambda f: f.make(aud="bank"), "The token is for another audience"),
    "wrong audiences": (lambda f: f.make(aud=["bank", "tax"]), "The token is for another audience"),
    "no audience": (lambda f: f.make(aud=[]), "The token is for another audience"),
    "wrong issuer": (
        lambda f: f.make(iss="https://evil.example"),
        "The token's issuer is not known here",
    ),
    "alg none": (
        lambda f: f.make(header={"alg": "none"}, sign=unsigned),
        "The token is signed by an algorithm that its issuer may not use",
    ),
    "alg None in capitals": (
        lambda f: f.make(header={"alg": "NONE"}, sign=unsigned),
        "The token is signed by an algorithm that its issuer may not use",
    ),
    "HS256 with the public key": (
        lambda f: f.make(header={"alg": "HS256"}, sign=hs256(f.key.jwk["x"].encode())),
        "The token is signed by an algorithm that its issuer may not use",
    ),
    "RS256 for an Ed25519 key": (
        lambda f: f.make(header={"alg": "RS256"}),
        "The token is signed by an algorithm that its issuer may not use",
    ),
    "no signature": (lambda f: f.make(sign=unsigned), "The token's signature is not valid"),
    "short signature": (
        lambda f: f.make(sign=lambda _: b"\0" * 63),
        "The token's signature is not valid",
    ),
    "unknown kid": (
        lambda f: f.make(header={"kid": "../../etc/passwd"}),
        "The token is signed by a key (kid) that is not known here",
    ),
    "unknown key in the header": (
        lambda f: f.make(
            header={
                "kid": "mine",
                "jku": "https://evil.example/jwks",
                "jwk": {"kty": "OKP"},
                "x5u": "x",
            },
            sign=stranger,
        ),
        "The token is signed by a key (kid) that is not known here",
    ),
    "foreign signature with jku": (
        lambda f: f.make(header={"jku": "https://evil.example/jwks"}, sign=stranger),
        "The token's signature is not valid",
    ),
    "crit": (
        lambda f: f.make(header={"crit": ["exp"]}),
        "The token asks for an extension (crit) that is not understood here",
    ),
    "crit of an extension that PyJWT knows": (
        lambda f: f.make(header={"crit": ["b64"], "b64": True}),
        "The token asks for an extension (crit) that is not understood here",
    ),
    "unencoded claims": (
        lambda f: f.make(header={"crit": ["b64"], "b64": False}),
        "The token is no signed JWT (its header cannot be read)",
    ),
    "kid no text": (
        lambda f: f.make(header={"kid": 7}),
        "The token is no signed JWT (its header cannot be read)",
    ),
    "no alg": (
        lambda f: f.make(header={"alg": ABSENT}),
        "The token is no signed JWT (its header cannot be read)",
    ),
    "wrong typ": (
        lambda f: f.make(header={"typ": "id+jwt"}),
        "The token is of a type (typ) that is not taken here",
    ),
    "no typ": (
        lambda f: f.make(header={"typ": ABSENT}),
        "The token is of a type (typ) that is not taken here",
    ),
    "tampered": (tampered, "The token's signature is not valid"),
    "oversized": (lambda f: f.make(padding="x" * 8192), "The token is above 8 KiB"),
    "too long-lived": (
        lambda f: f.make(exp=f.now + 3601),
        "The token lives longer than its issuer may let it",
    ),
    "exp without end": (lambda f: f.make(exp=10**300), "The token's times are out of range"),
    "exp as text": (
        lambda f: f.make(exp="never"),
        "The token has a claim of the wrong type among iss, sub, aud, exp, iat, nbf and scope",
    ),
    "no exp": (lambda f: f.make(exp=ABSENT), "The token lacks exp"),
    "no iat": (lambda f: f.make(iat=ABSENT), "The token lacks iat"),
    "no sub and aud": (lambda f: f.make(sub=ABSENT, aud=ABSENT), "The token lacks sub, aud"),
    "no iss": (lambda f: f.make(iss=ABSENT), "The token lacks iss"),
    "empty sub": (lambda f: f.make(sub=""), "The token's subject must be 1 to 255 characters"),
    "five parts": (lambda f: "a.b.c.d.e", "The token is no signed JWT (three base64url parts)"),
    "no base64": (
        lambda f: f.make().replace("e", "é", 1),
        "The token is no signed JWT (three base64url parts)",
    ),
    "padded base64": (
        lambda f: f.make() + "=",
        "The token is no signed JWT (three base64url parts)",
    ),
    "fully padded base64": (
        lambda f: f.make() + "==",
        "The token is no signed JWT (three base64url parts)",
    ),
    "another way to write the signature": (
        lambda f: respelt(f.make()),
        "The token is no signed JWT (its header cannot be read)",
    ),
    "header no JSON": (
        lambda f: "bm8." + f.make().split(".", 1)[1],
        "The token is no signed JWT (its header cannot be read)",
    ),
    "header too deep": (
        lambda f: text64(b'{"alg":' + b"[" * 4000) + "." + f.make().split(".", 1)[1],
        "The token is no signed JWT (its header cannot be read)",
    ),
    "header with half a character": (
        lambda f: text64(b'{"alg":"EdDSA","\\ud800":1}') + "." + f.make().split(".", 1)[1],
        "The token is no signed JWT (its header cannot be read)",
    ),
    "claims too deep": (
        lambda f: f.make(groups=nested(64)),
        "The token's claims have more than 64 levels",
    ),
    "claims too deep for any reader": (
        lambda f: f"{f.make().split('.')[0]}.{text64(b'[' * 5000)}.AA",
        "The token's claims have more than 64 levels",
    ),
    "claims no JSON": (
        lambda f: ".".join([f.make().split(".")[0], "bm8", "AA"]),
        "The token is no signed JWT (its claims cannot be read)",
    ),
    "claims a list": (
        lambda f: ".".join([f.make().split(".")[0], text64(b"[]"), "AA"]),
        "The token's claims are no JSON object",
    ),
}


@pytest.fixture
async def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("case", REFUSED)
async def test_a_wrong_token_is_refused_everywhere_and_says_why(
    town: Town, case: str, operation: str
) -> None:
    make, detail = REFUSED[case]
    method, path = OPERATIONS[operation]
    wrong = make(await Forge.of(town))
    seen = await town.ask(
        method, path, wrong, body=b'{"title": "Emma"}' if method == "POST" else b""
    )
    assert (seen.status, seen.json["code"], seen.detail) == (401, "unauthenticated", detail)
    assert seen.headers.get("www-authenticate") == 'Bearer error="invalid_token"'
    assert seen.headers.get("content-type") == "application/problem+json"


async def test_a_refusal_repeats_nothing_of_the_token(town: Town) -> None:
    forge = await Forge.of(town)
    for make, _ in REFUSED.values():
        seen = await town.get("/library/shelf", make(forge))
        for secret in ("evil.example", "bank", forge.key.kid, "passwd", "anna"):
            assert secret not in seen.body.decode()


GOOD: dict[str, Make] = {
    "plain": lambda f: f.make(),
    "one of several audiences": lambda f: f.make(aud=["bank", "library"]),
    "just expired, within the leeway": lambda f: f.make(exp=f.now - 29, iat=f.now - 100),
    "just issued elsewhere": lambda f: f.make(iat=f.now + 29, nbf=f.now + 29),
    "typ in capitals": lambda f: f.make(header={"typ": "AT+JWT"}),
    "typ as a whole media type": lambda f: f.make(header={"typ": "application/at+jwt"}),
    "claims as deep as they may be": lambda f: f.make(groups=nested(63)),
    "scopes as a list": lambda f: f.make(scope=ABSENT, scp=["books:read", "books:write"]),
    "scopes as scp text": lambda f: f.make(scope=ABSENT, scp="books:read books:write"),
    "keys in the header are not looked at": lambda f: f.make(
        header={"jku": "https://evil.example", "x5u": "https://evil.example", "jwk": {"kty": "oct"}}
    ),
}


@pytest.mark.parametrize("case", GOOD)
async def test_a_good_token_speaks_for_its_user(town: Town, case: str) -> None:
    good = GOOD[case](await Forge.of(town))
    for path in ("/library/who", "/library/shelf"):
        seen = await town.get(path, good)
        assert seen.status == 200
        assert seen.json == {
            "service": None,
            "user": "anna",
            "scopes": ["books:read", "books:write"],
        }
    added = await town.ask("POST", "/library/books", good, body=b'{"title": "Emma"}')
    assert added.status == 200


async def test_an_operation_for_anyone_needs_no_token(town: Town) -> None:
    seen = await town.get("/library/who")
    assert seen.json == {"service": None, "user": None, "scopes": []}


async def test_without_a_token_the_operation_says_what_it_needs(town: Town) -> None:
    seen = await town.get("/library/shelf")
    assert seen.status == 401
    assert (
        seen.detail
        == "library.Library.shelf needs a signed-in user: send 'Authorization: Bearer TOKEN'"
    )


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [
        ("", "scopes books:write, books:read"),
        ("books:read", "scope books:write"),
        ("books:writer books:read", "scope books:write"),
    ],
)
async def test_missing_scopes_are_named(town: Town, scopes: str, missing: str) -> None:
    token = (await Forge.of(town)).make(scope=scopes)
    seen = await town.ask("POST", "/library/books", token, body=b'{"title": "Emma"}')
    assert (seen.status, seen.json["code"]) == (403, "forbidden")
    assert seen.detail == f"library.Library.add needs the {missing}, which the token lacks"
    assert seen.headers.get("www-authenticate") == (
        'Bearer error="insufficient_scope", scope="books:write books:read"'
    )


class WrongPassword(Problem, status=401):
    """That is not the password."""


@contract("accounts", version="1.0")
class Accounts(Protocol):
    """Signs people in."""

    @post("/sessions", allow=ANYONE, raises=[WrongPassword])
    async def sign_in(self) -> str: ...


async def test_a_declared_401_has_a_challenge_as_any_401_has() -> None:
    async def refuse() -> str:
        raise WrongPassword()

    clock = ManualClock()
    operation = read_contract(Accounts).operations["sign_in"]
    route = Route(Callee(operation, refuse, Gate(1), clock.monotonic))
    door = Door([route], lambda request, route: Identity(None, None), clock, strict=True)
    seen = await Seen.of(await door.answer(request("POST", "/accounts/sessions")))
    assert (seen.status, seen.headers.get("www-authenticate")) == (401, "Bearer")


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "token", "Bearer a.b.c, Bearer d.e.f"],
)
async def test_authorization_that_is_no_bearer_token_is_refused(town: Town, value: str) -> None:
    seen = await town.get("/library/who", headers={"Authorization": value})
    assert seen.status == 401
    assert seen.detail == "Authorization must be 'Bearer TOKEN', once"


async def test_permission_is_checked_before_the_body_is_read(town: Town) -> None:
    seen = await town.ask("POST", "/library/books", body=b"not json")
    assert seen.status == 401


async def test_an_internal_operation_does_not_exist_at_the_edge(town: Town) -> None:
    token = (await Forge.of(town)).make()
    there = await town.ask("DELETE", "/library/books/emma", token)
    nowhere = await town.ask("DELETE", "/library/scrolls/emma", token)
    assert (there.status, nowhere.status) == (404, 404)


async def test_nobody_claims_a_service_or_a_user_by_a_header(town: Town) -> None:
    claims = {
        "Borough-Service": "library",
        "BOROUGH-PROOF": "0" * 64,
        "borough-principal": text64(b'{"subject": "root"}'),
    }
    seen = await town.get("/library/who", headers=claims)
    assert seen.json == {"service": None, "user": None, "scopes": []}
    refused = await town.get("/library/shelf", headers=claims)
    assert refused.status == 401


async def test_a_remembered_token_ends_with_its_time(town: Town) -> None:
    token = (await Forge.of(town)).make()
    assert (await town.get("/library/shelf", token)).status == 200
    town.clock.advance(929)
    assert (await town.get("/library/shelf", token)).status == 200
    town.clock.advance(1)
    seen = await town.get("/library/shelf", token)
    assert (seen.status, seen.detail) == (401, "The token has expired")
