"""Tokens made by hand: every way in which one can be wrong, and the one way in which it is right.

Signed by `cryptography` alone, so that what reads tokens is not tested against itself.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from borough.gateway.keys import SigningKey
from tests.gateway.library import Town

Sign = Callable[[bytes], bytes]
ABSENT = object()


def text64(data: bytes) -> str:
    """Unpadded base64url, as tokens and keys are written."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64(text: str) -> bytes:
    """The bytes behind unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def token(header: dict[str, Any], payload: Any, sign: Sign) -> str:
    """A token of these parts; what is `ABSENT` is left out."""
    parts = [
        {key: value for key, value in part.items() if value is not ABSENT}
        if isinstance(part, dict)
        else part
        for part in (header, payload)
    ]
    signed = ".".join(text64(msgspec.json.encode(part)) for part in parts)
    return f"{signed}.{text64(sign(signed.encode()))}"


class Forge:
    """Makes tokens for a town, signed by its own key unless told otherwise."""

    def __init__(self, town: Town, key: SigningKey) -> None:
        self.now = town.clock.epoch_s()
        self.key = key
        self.issuer = town.issuer.name
        seed = json.loads((town.folder / "keys" / "0001.jwk").read_bytes())["d"]
        self.sign = Ed25519PrivateKey.from_private_bytes(unbase64(seed)).sign

    @classmethod
    async def of(cls, town: Town) -> "Forge":
        return cls(town, await town.keys.newest())

    def make(
        self, *, header: dict[str, Any] | None = None, sign: Sign | None = None, **claims: Any
    ) -> str:
        """A token that is right, save for what is given."""
        fields = {"alg": "EdDSA", "kid": self.key.kid, "typ": "at+jwt", **(header or {})}
        payload = {
            "iss": self.issuer,
            "sub": "anna",
            "aud": "library",
            "iat": self.now,
            "exp": self.now + 900,
            "scope": "books:read books:write",
            **claims,
        }
        return token(fields, payload, sign or self.sign)


def hs256(secret: bytes) -> Sign:
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def es256(key: ec.EllipticCurvePrivateKey) -> Sign:
    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


def rs256(key: rsa.RSAPrivateKey) -> Sign:
    return lambda data: key.sign(data, padding.PKCS1v15(), SHA256())


def unsigned(_: bytes) -> bytes:
    return b""


def stranger(data: bytes) -> bytes:
    """Signs with an Ed25519 key that nobody knows."""
    return Ed25519PrivateKey.generate().sign(data)
