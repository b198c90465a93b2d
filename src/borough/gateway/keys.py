"""Where the keys of tokens come from: our own folder, a file, or an issuer's URL (key_server.py).

Keys are read again after ten minutes, and for a key id not seen yet, at most every 30 seconds.
When that fails the old keys serve for an hour more: an issuer that is away must not sign
everybody out. Nor may it hold on to requests: anybody can make up key ids, so what a reading
brings is waited for while it is young. PyJWT reads each key, bound to the one algorithm it is
for. What imports PyJWT here runs in threads: the import takes longer than the loop may stand still.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from borough.clock import Clock
from borough.contracts.unreadable import UNREADABLE
from borough.errors import ConfigurationError, Unavailable
from borough.gateway.secret_file import kept_secret, read_secret
from borough.services.settings import Secret

if TYPE_CHECKING:
    from jwt import PyJWK

__all__ = ["ALGORITHMS", "KeySet", "KeyTimes", "OwnKeys", "SigningKey", "keys_in"]

ALGORITHMS = ("EdDSA", "ES256", "RS256")
_KINDS = {("OKP", "Ed25519"): "EdDSA", ("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
_log = logging.getLogger("borough.gateway")
_MOST_KEYS = 64
_RSA_BITS = (2048, 8192)


class KeyTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long keys count, in seconds."""

    fresh_s: float = 600.0
    """Keys are not read again before that."""
    again_s: float = 30.0
    """Two readings are at least that far apart, whatever key ids are asked for."""
    stale_s: float = 3600.0
    """How much longer keys serve while they cannot be read again."""
    retry_s: float = 5.0
    """How soon reading is tried again where there are no keys at all."""
    patience_s: float = 1.0
    """How long a token of an old key waits for the new ones, which may be without it."""
    unknown_s: float = 2.0
    """How old a reading may be for a token of an unknown key to wait for it, or wait on."""


class KeySet:
    """The keys of one issuer, found by their ids."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], clock: Clock, times: KeyTimes | None = None
    ) -> None:
        self._read = read
        self._clock = clock
        self._times = times or KeyTimes()
        self._keys: tuple[PyJWK, ...] = ()
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> PyJWK | None:
        """The key of this id; without an id the only key there is.

        Raises `Unavailable` where keys cannot be had.
        """
        key = self._known(kid)
        if key is not None and (self._age() <= self._times.fresh_s or self._reading is not None):
            return key
        if self._reading is None and self._is_due(kid):
            # A task of its own: whoever waits may be cancelled without taking the keys from the others.
            self._tried_at = self._clock.monotonic()
            self._reading = asyncio.create_task(self._refresh())
        if self._reading is not None:
            if key is None:
                left_s = self._tried_at + self._times.unknown_s - self._clock.monotonic()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await asyncio.shield(self._reading)
            else:
                await asyncio.wait([self._reading], timeout=self._times.patience_s)
        key = self._known(kid)
        # What was not read may hold the key; a token of it is not refused for that.
        is_unsure = key is None and self._tried_at > self._read_at
        if is_unsure or self._age() > self._times.fresh_s + self._times.stale_s:
            raise Unavailable(
                "The keys that tokens are checked with cannot be had now",
                retry_after_s=self._times.retry_s,
            )
        return key

    async def close(self) -> None:
        """End a reading that is under way. Idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _age(self) -> float:
        return self._clock.monotonic() - self._read_at

    def _known(self, kid: str | None) -> PyJWK | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == kid), None)

    def _is_due(self, kid: str | None) -> bool:
        if self._known(kid) is not None and self._age() <= self._times.fresh_s:
            return False
        pause_s = self._times.again_s if self._keys else self._times.retry_s
        return self._clock.monotonic() - self._tried_at >= pause_s

    async def _refresh(self) -> None:
        try:
            self._keys = await asyncio.to_thread(_read_key_set, await self._read())
        except (OSError, ValueError, ConfigurationError) as error:
            _log.warning("the keys that tokens are checked with were not read: %s", error)
        else:
            self._read_at = self._tried_at
        finally:
            self._reading = None


def _read_key_set(document: bytes) -> tuple[PyJWK, ...]:
    """The usable keys of a JWKS. One broken key does not cost the others. Raises `ValueError`."""
    try:
        listed = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    except UNREADABLE as error:
        raise ValueError(f"no JSON Web Key Set: {error}") from None
    if not isinstance(listed, list):
        raise ValueError('no JSON Web Key Set: it has no list of "keys"')
    keys: list[PyJWK] = []
    for jwk in cast("list[object]", listed)[:_MOST_KEYS]:
        try:
            key = _read_key(cast("dict[str, Any]", jwk)) if isinstance(jwk, dict) else None
        except ValueError as error:
            _log.warning("a key of the key set is left out: %s", error)
            continue
        if key is not None:
            keys.append(key)
    if not keys:
        raise ValueError("the key set has no key for EdDSA, ES256 or RS256 signatures")
    return tuple(keys)


def _read_key(jwk: dict[str, Any]) -> PyJWK | None:
    """A key for signatures; None for a key of another use. Raises `ValueError` for a broken one."""
    from jwt import PyJWK, PyJWTError

    if not isinstance(jwk.get("kid"), str | None):
        raise ValueError("its kid is no text")
    if "d" in jwk:
        raise ValueError("it is a private key, which a key set must not show")
    try:
        algorithm = _KINDS.get((jwk["kty"], jwk.get("crv")))
        if algorithm is None or jwk.get("alg", algorithm) != algorithm:
            return None
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ("verify",)):
            return None
        key = PyJWK(jwk, algorithm)
    except (PyJWTError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it cannot be read: {error}") from error
    if algorithm == "RS256" and not _RSA_BITS[0] <= key.key.key_size <= _RSA_BITS[1]:
        raise ValueError(f"it has {key.key.key_size} bits; RSA keys must have 2048 to 8192")
    return key


def keys_in(path: Path) -> Callable[[], Awaitable[bytes]]:
    """Reads a JWKS from a file."""

    async def read() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return read


class SigningKey(msgspec.Struct, frozen=True):
    """An Ed25519 private key, and its public half as others may see it."""

    secret: PyJWK
    jwk: Mapping[str, Any]
    hidden: Secret

    @property
    def kid(self) -> str:
        """The name under which the public half is found."""
        kid: str = self.jwk["kid"]
        return kid


def _new_signing_key(seed: bytes) -> bytes:
    """The private JWK of the key that these 32 unpredictable bytes make."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from jwt.algorithms import OKPAlgorithm

    return OKPAlgorithm.to_jwk(Ed25519PrivateKey.from_private_bytes(seed)).encode()


def _read_signing_key(document: bytes) -> SigningKey:
    """Read a private JWK. Raises `ValueError` where it is no Ed25519 key."""
    from jwt import PyJWK, PyJWTError
    from jwt.algorithms import OKPAlgorithm

    try:
        private = msgspec.json.decode(document, type=dict[str, Any])
        secret = PyJWK(private, "EdDSA")
        public = OKPAlgorithm.to_jwk(secret.key.public_key(), as_dict=True)
    except (PyJWTError, AttributeError, msgspec.DecodeError) as error:
        raise ValueError("not an Ed25519 private key as JWK") from error
    kid = sha256(public["x"].encode()).hexdigest()  # the same in every process, and never reused
    known = {**public, "alg": "EdDSA", "use": "sig", "kid": kid}
    return SigningKey(secret, known, Secret(str(private["d"])))


class OwnKeys:
    """This system's own signing keys, in a folder that its processes share.

    Files are `0001.jwk`, `0002.jwk` and so on. The newest signs; all of them verify, so that
    tokens outlive a rotation. Remove an old file once its last token has expired.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._keys: tuple[SigningKey, ...] = ()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Have a key, made at the first start. Idempotent. Raises `ConfigurationError`."""
        if self._keys:
            return
        async with self._opening:
            if not self._keys:
                self._keys = await asyncio.to_thread(self._load, 1)

    async def rotate(self) -> None:
        """Sign with a new key from now on; what the old ones signed still counts."""
        self._keys = await asyncio.to_thread(self._load, len(self._names()) + 1)

    async def newest(self) -> SigningKey:
        """The key to sign with."""
        await self.open()
        return self._keys[-1]

    async def document(self) -> bytes:
        """The public halves as a JSON Web Key Set, as the folder stands now."""
        self._keys = await asyncio.to_thread(self._load, 1)
        return msgspec.json.encode({"keys": [key.jwk for key in reversed(self._keys)]})

    def key_set(self) -> KeySet:
        """The same keys for checking; another process may rotate them, so a miss looks again."""
        return KeySet(self.document, self._clock, KeyTimes(again_s=1.0, retry_s=0.0))

    def _names(self) -> Sequence[str]:
        return sorted(path.name for path in self._folder.glob("[0-9][0-9][0-9][0-9].jwk"))

    def _load(self, least: int) -> tuple[SigningKey, ...]:
        """Read the folder, with a new key where it has fewer than `least`."""
        names = self._names()
        if len(names) < least:
            # Named after what was seen here: whoever saw the same makes the same name, and one wins.
            number = int(names[-1][:4]) + 1 if names else 1
            path = self._folder / f"{number:04}.jwk"
            suffix = self._clock.token(8).hex()
            kept_secret(path, lambda: _new_signing_key(self._clock.token(32)), suffix)
        found: list[SigningKey] = []
        for name in self._names():
            path = self._folder / name
            try:
                found.append(_read_signing_key(read_secret(path)))
            except ValueError as error:
                raise ConfigurationError(
                    f"{path} is {error}; remove it to have a new key made (its tokens then end)"
                ) from error
        return tuple(found)
