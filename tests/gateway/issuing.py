"""Another issuer of tokens: its keys, as it shows them, and a check that takes what they sign."""

import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from borough.gateway.keys import KeySet
from borough.gateway.tokens import Issuer, TokenCheck
from borough.testing.clock import ManualClock
from tests.gateway.forging import Sign, text64, token

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def number64(value: int, length: int) -> str:
    return text64(value.to_bytes(length, "big"))


def rsa_jwk(key: rsa.RSAPrivateKey = RSA_KEY, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    size = key.key_size // 8
    return {"kty": "RSA", "kid": "r", "n": number64(numbers.n, size), "e": "AQAB", **more}


def ec_jwk(**more: Any) -> dict[str, Any]:
    numbers = EC_KEY.public_key().public_numbers()
    x, y = number64(numbers.x, 32), number64(numbers.y, 32)
    return {"kty": "EC", "crv": "P-256", "kid": "e", "x": x, "y": y, **more}


class Source:
    """A key set that can be changed, counts its readings, and can be away."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.readings = 0
        self.is_away = False

    async def read(self) -> bytes:
        self.readings += 1
        if self.is_away:
            raise OSError("connection refused")
        return json.dumps({"keys": self.keys}).encode()


class Office:
    """A foreign issuer and a check that takes its tokens."""

    def __init__(self, source: Source, **options: Any) -> None:
        self.clock = ManualClock()
        keys = KeySet(source.read, self.clock)
        issuer = Issuer(name="https://id.example", audience="library", keys=keys, **options)
        self.check = TokenCheck([issuer], self.clock, remembered=2)

    def token(self, algorithm: str, kid: str | None, sign: Sign, subject: str = "anna") -> str:
        now = self.clock.epoch_s()
        claims = {
            "iss": "https://id.example",
            "aud": "library",
            "sub": subject,
            "iat": now,
            "exp": now + 60,
        }
        header = {"alg": algorithm, **({"kid": kid} if kid else {})}
        return token(header, claims, sign)
