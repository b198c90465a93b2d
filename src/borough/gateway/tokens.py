"""Tokens (RFC 7519) checked as RFC 8725 asks: the issuer's entry decides, never the token.

PyJWT reads and verifies; when a token counts is decided here, by the clock handed in. Algorithms
are an allow-list and each is bound to its key; `jku`, `x5u` and `jwk` are not looked at; `crit` is
refused. A refusal says which rule was broken and nothing about what would pass. Checking costs
more than 100 microseconds, so verified tokens are remembered, by their hash, for five minutes.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from borough.clock import Clock
from borough.contracts.duplicates import MOST_LEVELS, is_too_deep
from borough.errors import ConfigurationError, Unauthenticated
from borough.gateway.keys import ALGORITHMS, KeySet, OwnKeys
from borough.services.context import Principal

if TYPE_CHECKING:
    from jwt import PyJWS

__all__ = ["Issuer", "OwnIssuer", "TokenCheck"]

LEEWAY_S = 30.0
LARGEST_TOKEN = 8 * 1024
_REMEMBERED_S = 300.0
_LATEST_S = 1e12
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\Z")
_REGISTERED = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "scp"})
_OWN_TYPE = "at+jwt"
_EXTENSION = "The token asks for an extension (crit) that is not understood here"


class _Header(msgspec.Struct, frozen=True):
    """What is read of a token's header; everything else in it is ignored."""

    alg: str
    kid: str | None = None
    typ: str | None = None


class _Claims(msgspec.Struct, frozen=True):
    """The claims that every token must have."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: int | float
    iat: int | float
    nbf: int | float | None = None
    scope: str | None = None
    scp: str | list[str] | None = None


_read_all = msgspec.json.Decoder(dict[str, Any]).decode


class Issuer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose tokens count, and how they must be made."""

    name: str
    """The `iss` claim, compared exactly."""
    audience: str
    """What `aud` must contain: this system, as the issuer calls it."""
    keys: KeySet
    algorithms: tuple[str, ...] = ALGORITHMS
    longest_lifetime_s: float = 86_400.0
    """From `iat` to `exp` at most."""
    types: tuple[str | None, ...] = (None, "jwt", _OWN_TYPE)
    """The `typ` header fields taken, in lower case; None stands for a token without one."""


class TokenCheck:
    """Says for whom a token speaks."""

    def __init__(self, issuers: Sequence[Issuer], clock: Clock, *, remembered: int = 4096) -> None:
        for issuer in issuers:
            strange = set(issuer.algorithms) - set(ALGORITHMS)
            if strange or not issuer.algorithms:
                raise ConfigurationError(
                    f"The issuer {issuer.name} names the algorithms {sorted(strange)}; "
                    f"choose from {', '.join(ALGORITHMS)}"
                )
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._clock = clock
        self._limit = remembered
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self._jws: PyJWS | None = None

    async def prepare(self) -> PyJWS:
        """Have PyJWT imported before the first token comes, in a thread. Idempotent."""
        if self._jws is None:
            self._jws = await asyncio.to_thread(_import_jws)
        return self._jws

    async def close(self) -> None:
        """End readings of keys that are under way. Idempotent."""
        for issuer in self._issuers.values():
            await issuer.keys.close()

    def remembered(self, token: str) -> Principal | None:
        """The principal of a token that was checked before and still counts."""
        if len(token) > LARGEST_TOKEN:
            return None
        digest = sha256(token.encode("latin-1", "replace")).digest()
        found = self._known.get(digest)
        if found is None:
            return None
        if found[1] <= self._clock.epoch_s():
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return found[0]

    async def principal(self, token: str) -> Principal:
        """Check a token. Raises `Unauthenticated`, `Unavailable` where keys cannot be had."""
        known = self.remembered(token)
        if known is not None:
            return known
        if len(token) > LARGEST_TOKEN:
            raise Unauthenticated("The token is above 8 KiB")
        if _SHAPE.match(token) is None:
            raise Unauthenticated("The token is no signed JWT (three base64url parts)")
        jws = await self.prepare()
        header, payload = _opened(jws, token)
        claims, others = _read_claims(payload)
        issuer = self._issuers.get(claims.iss)
        if issuer is None:
            raise Unauthenticated("The token's issuer is not known here")
        await _check_signature(jws, issuer, header, token)
        until = _check_claims(issuer, claims, self._clock.epoch_s())
        principal = Principal(claims.sub, _scopes(claims), others)
        self._remember(token, principal, until)
        return principal

    def _remember(self, token: str, principal: Principal, until: float) -> None:
        until = min(until, self._clock.epoch_s() + _REMEMBERED_S)
        self._known[sha256(token.encode()).digest()] = principal, until
        if len(self._known) > self._limit:
            self._known.popitem(last=False)


def _import_jws() -> PyJWS:
    from jwt import PyJWS

    return PyJWS(algorithms=ALGORITHMS)


def _opened(jws: PyJWS, token: str) -> tuple[_Header, bytes]:
    """The header and the claims as they stand; nothing is verified yet."""
    from jwt import InvalidTokenError

    try:
        parts = jws.decode_complete(token, options={"verify_signature": False})
        header = msgspec.convert(parts["header"], _Header)
    except (InvalidTokenError, msgspec.ValidationError, UnicodeEncodeError) as error:
        if "crit" in str(error):
            raise Unauthenticated(_EXTENSION) from None
        raise Unauthenticated("The token is no signed JWT (its header cannot be read)") from None
    if "crit" in parts["header"]:  # PyJWT understands one extension, b64, which no JWT may use
        raise Unauthenticated(_EXTENSION)
    return header, parts["payload"]


def _read_claims(payload: bytes) -> tuple[_Claims, dict[str, Any]]:
    """The claims we know and the others. Only names that we ask for are ever said."""
    if is_too_deep(payload):
        raise Unauthenticated(f"The token's claims have more than {MOST_LEVELS} levels")
    try:
        found = _read_all(payload)
    except msgspec.ValidationError:
        raise Unauthenticated("The token's claims are no JSON object") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unauthenticated("The token is no signed JWT (its claims cannot be read)") from None
    absent = [name for name in ("iss", "sub", "aud", "exp", "iat") if name not in found]
    if absent:
        raise Unauthenticated(f"The token lacks {', '.join(absent)}")
    try:
        claims = msgspec.convert(found, _Claims)
    except msgspec.ValidationError:
        raise Unauthenticated(
            "The token has a claim of the wrong type among iss, sub, aud, exp, iat, nbf and scope"
        ) from None
    if not 1 <= len(claims.sub) <= 255:
        raise Unauthenticated("The token's subject must be 1 to 255 characters")
    return claims, {name: value for name, value in found.items() if name not in _REGISTERED}


async def _check_signature(jws: PyJWS, issuer: Issuer, header: _Header, token: str) -> None:
    from jwt import PyJWTError

    if header.alg not in issuer.algorithms:
        raise Unauthenticated("The token is signed by an algorithm that its issuer may not use")
    if _type(header.typ) not in issuer.types:
        raise Unauthenticated("The token is of a type (typ) that is not taken here")
    key = await issuer.keys.find(header.kid)
    if key is None:
        raise Unauthenticated("The token is signed by a key (kid) that is not known here")
    if key.algorithm_name != header.alg:
        raise Unauthenticated("The token's algorithm is not the one of its key")
    try:
        jws.decode_complete(token, key, algorithms=[key.algorithm_name])
    except PyJWTError:
        raise Unauthenticated("The token's signature is not valid") from None


def _type(typ: str | None) -> str | None:
    """As `Issuer.types` has it: `application/` may be left out (RFC 7515, 4.1.9; RFC 9068, 4)."""
    return None if typ is None else typ.lower().removeprefix("application/")


def _check_claims(issuer: Issuer, claims: _Claims, now: float) -> float:
    """Refuse what does not count now; returns until when it will."""
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if issuer.audience not in audience:
        raise Unauthenticated("The token is for another audience")
    times = [claims.exp, claims.iat, *([] if claims.nbf is None else [claims.nbf])]
    if not all(-_LATEST_S < time < _LATEST_S for time in times):  # nor infinite, nor NaN
        raise Unauthenticated("The token's times are out of range")
    if claims.exp + LEEWAY_S <= now:
        raise Unauthenticated("The token has expired")
    if claims.iat - LEEWAY_S > now or (claims.nbf is not None and claims.nbf - LEEWAY_S > now):
        raise Unauthenticated("The token is not valid yet")
    if claims.exp - claims.iat > issuer.longest_lifetime_s:
        raise Unauthenticated("The token lives longer than its issuer may let it")
    return float(claims.exp) + LEEWAY_S


def _scopes(claims: _Claims) -> tuple[str, ...]:
    """`scope` as RFC 8693 has it, or `scp` as others write it."""
    if claims.scope is not None:
        return tuple(claims.scope.split())
    if isinstance(claims.scp, str):
        return tuple(claims.scp.split())
    return tuple(claims.scp or ())


class OwnIssuer:
    """Issues this system's tokens; the `TokenIssuer` that a service gets."""

    def __init__(
        self,
        system: str,
        keys: OwnKeys,
        clock: Clock,
        *,
        audience: str | None = None,
        longest_lifetime_s: float = 86_400.0,
    ) -> None:
        self.name = f"urn:borough:{system}"
        self._audience = audience or system
        self._keys = keys
        self._clock = clock
        self._longest_lifetime_s = longest_lifetime_s

    def issuer(self) -> Issuer:
        """What the edge must know to take these tokens."""
        return Issuer(
            name=self.name,
            audience=self._audience,
            keys=self._keys.key_set(),
            algorithms=("EdDSA",),
            longest_lifetime_s=self._longest_lifetime_s,
            types=(_OWN_TYPE,),
        )

    async def issue(
        self,
        subject: str,
        *,
        scopes: Sequence[str] = (),
        claims: Mapping[str, Any] = {},
        lifetime_s: float = 900,
    ) -> str:
        """A signed token. Raises `ValueError` for what the edge would not take."""
        self._refuse_odd(subject, scopes, claims, lifetime_s)
        key = await self._keys.newest()  # has PyJWT imported, in a thread
        from jwt import PyJWS

        now = int(self._clock.epoch_s())
        payload: dict[str, Any] = {
            **claims,
            "iss": self.name,
            "sub": subject,
            "aud": self._audience,
            "iat": now,
            "exp": now + int(lifetime_s),
            "jti": str(self._clock.new_id()),
            **({"scope": " ".join(scopes)} if scopes else {}),
        }
        written = msgspec.json.encode(payload)
        if is_too_deep(written):
            raise ValueError(f"The token's claims would have more than {MOST_LEVELS} levels")
        token = PyJWS().encode(
            written,
            key.secret,
            "EdDSA",
            headers={"kid": key.kid, "typ": _OWN_TYPE},
        )
        if len(token) > LARGEST_TOKEN:
            raise ValueError("The token would be above 8 KiB; put less into its claims")
        return token

    def _refuse_odd(
        self, subject: str, scopes: Sequence[str], claims: Mapping[str, Any], lifetime_s: float
    ) -> None:
        if not 1 <= len(subject) <= 255:
            raise ValueError("A token's subject must be 1 to 255 characters")
        if isinstance(scopes, str) or any(not name or " " in name for name in scopes):
            raise ValueError("Scopes are a sequence of names without spaces")
        taken = sorted(_REGISTERED.intersection(claims))
        if taken:
            raise ValueError(f"The claims {', '.join(taken)} are the issuer's to write")
        if not 1 <= lifetime_s <= self._longest_lifetime_s:
            raise ValueError(
                f"A token lives 1 to {self._longest_lifetime_s:.0f} seconds here, not {lifetime_s}"
            )
