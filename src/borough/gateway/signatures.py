"""The three signatures that tokens may carry, each bound to one kind of key (RFC 7518, RFC 8037).

A key knows its algorithm; a token never chooses. The cryptography library is loaded at first use,
off the loop: it costs tens of milliseconds that no start needs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Protocol

import msgspec

__all__ = [
    "ALGORITHMS",
    "SigningKey",
    "VerifyingKey",
    "load_cryptography",
    "read_signing_key",
    "read_verifying_key",
    "signing_key_of",
    "text64",
    "unbase64",
]

ALGORITHMS = ("EdDSA", "ES256", "RS256")
_KINDS: Mapping[tuple[str, str | None], str] = {
    ("OKP", "Ed25519"): "EdDSA",
    ("EC", "P-256"): "ES256",
    ("RSA", None): "RS256",
}
_PARTS = "cryptography.hazmat.primitives.asymmetric."
_SMALLEST_RSA_BITS = 2048
_LARGEST_RSA_BITS = 8192


async def load_cryptography() -> None:
    """Have the library loaded, in a thread, before anything below is called on the loop."""
    await asyncio.to_thread(_load)


def _load() -> None:
    for part in ("ed25519", "ec", "rsa", "padding", "utils"):
        importlib.import_module(_PARTS + part)


def text64(data: bytes) -> str:
    """Unpadded base64url, as tokens and keys are written."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64(text: str) -> bytes:
    """Read unpadded base64url. Raises `ValueError` for what is not exactly that."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if text64(data) != text:
        raise ValueError("not the one way to write these bytes")
    return data


class _PublicKey(Protocol):
    """What the algorithms have in common, once bound."""

    def __call__(self, signature: bytes, data: bytes) -> None: ...


class VerifyingKey:
    """A public key with the one algorithm it is for."""

    __slots__ = ("_check", "algorithm", "kid")

    def __init__(self, kid: str | None, algorithm: str, check: _PublicKey) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._check = check

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether this key has signed `data`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._check(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """An Ed25519 private key; `jwk` is its public half as others may see it."""

    __slots__ = ("_secret", "jwk", "kid")

    def __init__(self, secret: Any, jwk: Mapping[str, str]) -> None:
        self._secret = secret
        self.jwk = jwk
        self.kid = jwk["kid"]

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`."""
        signature: bytes = self._secret.sign(data)
        return signature


def signing_key_of(seed: bytes) -> bytes:
    """The private JWK, as JSON, of the key that these 32 unpredictable bytes make."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return msgspec.json.encode(
        {"kty": "OKP", "crv": "Ed25519", "x": text64(public), "d": text64(seed)}
    )


def read_signing_key(document: bytes) -> SigningKey:
    """Read a private JWK. Raises `ValueError` where it is no Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        jwk = msgspec.json.decode(document, type=dict[str, str])
        secret = Ed25519PrivateKey.from_private_bytes(unbase64(jwk["d"]))
    except (KeyError, msgspec.DecodeError) as error:
        raise ValueError("not an Ed25519 private key as JWK") from error
    x = text64(secret.public_key().public_bytes_raw())
    # RFC 7638: the required members in this order are the key's own name.
    kid = text64(sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % x.encode()).digest())
    public = {
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "kid": kid,
        "x": x,
    }
    return SigningKey(secret, public)


def read_verifying_key(jwk: Mapping[str, Any]) -> VerifyingKey | None:
    """Read a public JWK; None for a key of another use. Raises `ValueError` for a broken one."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    algorithm = _KINDS.get((str(kind), None if kind == "RSA" else str(curve)))
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
        return None
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("kid is no text")
    try:
        check = {"EdDSA": _ed25519, "ES256": _p256, "RS256": _rsa}[algorithm](jwk)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a {kind} key is incomplete") from error
    return VerifyingKey(kid, algorithm, check)


def _ed25519(jwk: Mapping[str, Any]) -> _PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(unbase64(jwk["x"])).verify


def _number(text: str) -> int:
    return int.from_bytes(unbase64(text), "big")


def _p256(jwk: Mapping[str, Any]) -> _PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    numbers = ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), ec.SECP256R1())
    key, scheme = numbers.public_key(), ec.ECDSA(SHA256())

    def check(signature: bytes, data: bytes) -> None:
        if len(signature) != 64:
            raise ValueError("an ES256 signature has 64 bytes")
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        key.verify(encode_dss_signature(r, s), data, scheme)

    return check


def _rsa(jwk: Mapping[str, Any]) -> _PublicKey:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.hashes import SHA256

    key = RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    if not _SMALLEST_RSA_BITS <= key.key_size <= _LARGEST_RSA_BITS:
        raise ValueError(f"an RSA key has {key.key_size} bits, it must be 2048 to 8192")

    def check(signature: bytes, data: bytes) -> None:
        key.verify(signature, data, PKCS1v15(), SHA256())

    return check
