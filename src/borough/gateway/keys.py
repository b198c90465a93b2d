"""Where the keys of tokens come from: our own folder, a file, or an issuer's URL.

Keys are read again after ten minutes, and for a key id not seen yet, at most every 30 seconds.
When that fails the old keys serve for an hour more: an issuer that is away must not sign
everybody out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from borough.clock import Clock
from borough.errors import ConfigurationError, Unavailable
from borough.gateway.secret_file import kept_secret, read_secret
from borough.gateway.signatures import (
    SigningKey,
    VerifyingKey,
    load_cryptography,
    read_signing_key,
    read_verifying_key,
    signing_key_of,
)

__all__ = ["KeySet", "KeyTimes", "OwnKeys", "keys_at", "keys_in"]

_log = logging.getLogger("borough.gateway")
_LARGEST_DOCUMENT = 256 * 1024
_MOST_KEYS = 64


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


class KeySet:
    """The keys of one issuer, found by their ids."""

    def __init__(
        self, read: Callable[[], Awaitable[bytes]], clock: Clock, times: KeyTimes | None = None
    ) -> None:
        self._read = read
        self._clock = clock
        self._times = times or KeyTimes()
        self._keys: tuple[VerifyingKey, ...] = ()
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, kid: str | None) -> VerifyingKey | None:
        """The key of this id; without an id the only key there is.

        Raises `Unavailable` where keys cannot be had.
        """
        key = self._known(kid)
        if key is not None and (self._age() <= self._times.fresh_s or self._reading.locked()):
            return key
        async with self._reading:
            if self._is_due(kid):
                await self._refresh()
        if self._age() > self._times.fresh_s + self._times.stale_s:
            raise Unavailable(
                "The keys that tokens are checked with cannot be had now",
                retry_after_s=self._times.retry_s,
            )
        return self._known(kid)

    def _age(self) -> float:
        return self._clock.monotonic() - self._read_at

    def _known(self, kid: str | None) -> VerifyingKey | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == kid), None)

    def _is_due(self, kid: str | None) -> bool:
        if self._known(kid) is not None and self._age() <= self._times.fresh_s:
            return False
        pause_s = self._times.again_s if self._keys else self._times.retry_s
        return self._clock.monotonic() - self._tried_at >= pause_s

    async def _refresh(self) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            await load_cryptography()
            self._keys = _read_key_set(await self._read())
        except (OSError, ValueError, ConfigurationError) as error:
            _log.warning("the keys that tokens are checked with were not read: %s", error)
        else:
            self._read_at = self._tried_at


def _read_key_set(document: bytes) -> tuple[VerifyingKey, ...]:
    """The usable keys of a JWKS. One broken key does not cost the others. Raises `ValueError`."""
    try:
        listed = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no JSON Web Key Set: {error}") from None
    if not isinstance(listed, list):
        raise ValueError('no JSON Web Key Set: it has no list of "keys"')
    keys: list[VerifyingKey] = []
    for jwk in cast("list[object]", listed)[:_MOST_KEYS]:
        try:
            key = _read_key(jwk)
        except ValueError as error:
            _log.warning("a key of the key set is left out: %s", error)
            continue
        if key is not None:
            keys.append(key)
    if not keys:
        raise ValueError("the key set has no key for EdDSA, ES256 or RS256 signatures")
    return tuple(keys)


def _read_key(jwk: object) -> VerifyingKey | None:
    return read_verifying_key(cast("dict[str, Any]", jwk)) if isinstance(jwk, dict) else None


def keys_in(path: Path) -> Callable[[], Awaitable[bytes]]:
    """Reads a JWKS from a file."""

    async def read() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return read


def keys_at(url: str, *, timeout_s: float = 5.0) -> Callable[[], Awaitable[bytes]]:
    """Reads a JWKS from a URL. Raises `ConfigurationError` for clear text to another machine."""
    parts = urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise ConfigurationError(
            f"The keys of an issuer must come over https, not from {url!r}; "
            "anybody could change them on the way"
        )

    async def read() -> bytes:
        async with asyncio.timeout(2 * timeout_s):
            return await asyncio.to_thread(_fetch, url, timeout_s)

    return read


def _fetch(url: str, timeout_s: float) -> bytes:
    from http.client import HTTPException
    from urllib.request import HTTPRedirectHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """A redirect could lead to clear text or into another network."""

        def redirect_request(
            self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
        ) -> None:
            return None

    try:
        with build_opener(NoRedirect).open(url, timeout=timeout_s) as answer:
            document: bytes = answer.read(_LARGEST_DOCUMENT + 1)
    except HTTPException as error:
        raise ValueError(f"{url} gave no HTTP answer: {error!r}") from None
    if len(document) > _LARGEST_DOCUMENT:
        raise ValueError(f"the key set at {url} is above 256 KiB")
    return document


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
                await load_cryptography()
                self._keys = await asyncio.to_thread(self._load, 1)

    async def rotate(self) -> None:
        """Sign with a new key from now on; what the old ones signed still counts."""
        await load_cryptography()
        self._keys = await asyncio.to_thread(self._load, len(self._names()) + 1)

    async def newest(self) -> SigningKey:
        """The key to sign with."""
        await self.open()
        return self._keys[-1]

    async def document(self) -> bytes:
        """The public halves as a JSON Web Key Set, as the folder stands now."""
        await load_cryptography()
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
            kept_secret(path, lambda: signing_key_of(self._clock.token(32)), suffix)
        found: list[SigningKey] = []
        for name in self._names():
            path = self._folder / name
            try:
                found.append(read_signing_key(read_secret(path)))
            except ValueError as error:
                raise ConfigurationError(
                    f"{path} is {error}; remove it to have a new key made (its tokens then end)"
                ) from error
        return tuple(found)
