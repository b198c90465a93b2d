"""Tokens (RFC 7519) checked as RFC 8725 asks: the issuer's entry decides, never the token.

Algorithms are an allow-list and each is bound to its key; `jku`, `x5u` and `jwk` are not looked
at; `crit` is refused. A refusal says which rule was broken and nothing about what would pass.
Checking costs more than 100 microseconds, so verified tokens are remembered, by their hash, for
five minutes at most.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from borough.clock import Clock
from borough.errors import ConfigurationError, Unauthenticated
from borough.gateway.keys import KeySet, OwnKeys
from borough.gateway.signatures import ALGORITHMS, text64, unbase64
from borough.services.context import Principal

__all__ = ["Issuer", "OwnIssuer", "TokenCheck"]

LEEWAY_S = 30.0
LARGEST_TOKEN = 8 * 1024
_REMEMBERED_S = 300.0
_LATEST_S = 1e12
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\Z")
_REGISTERED = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "scp"})
_OWN_TYPE = "at+jwt"


class _Header(msgspec.Struct, frozen=True):
    """What is read of a token's header; everything else in it is ignored."""

    alg: str
    kid: str | None = None
    typ: str | None = None
    crit: Any = None


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


_read_header = msgspec.json.Decoder(_Header).decode
_read_claims = msgspec.json.Decoder(_Claims).decode
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
        header, payload, signed, signature = _parts(token)
        claims = _decoded(payload)
        issuer = self._issuers.get(claims.iss)
        if issuer is None:
            raise Unauthenticated("The token's issuer is not known here")
        await _check_signature(issuer, header, signed, signature)
        until = _check_claims(issuer, claims, self._clock.epoch_s())
        principal = Principal(claims.sub, _scopes(claims), _others(payload))
        self._remember(token, principal, until)
        return principal

    def _remember(self, token: str, principal: Principal, until: float) -> None:
        until = min(until, self._clock.epoch_s() + _REMEMBERED_S)
        self._known[sha256(token.encode()).digest()] = principal, until
        if len(self._known) > self._limit:
            self._known.popitem(last=False)


def _parts(token: str) -> tuple[_Header, bytes, bytes, bytes]:
    """Header, payload, signed text and signature of a token whose form is right."""
    if len(token) > LARGEST_TOKEN:
        raise Unauthenticated("The token is above 8 KiB")
    shape = _SHAPE.match(token)
    if shape is None:
        raise Unauthenticated("The token is no signed JWT (three base64url parts)")
    try:
        header = _read_header(unbase64(shape[1]))
        payload, signature = unbase64(shape[2]), unbase64(shape[3])
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise Unauthenticated("The token is no signed JWT (its header cannot be read)") from None
    if header.crit is not None:
        raise Unauthenticated("The token asks for an extension (crit) that is not understood here")
    return header, payload, f"{shape[1]}.{shape[2]}".encode(), signature


def _decoded(payload: bytes) -> _Claims:
    try:
        claims = _read_claims(payload)
    except msgspec.ValidationError:
        raise Unauthenticated(_missing(payload)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unauthenticated("The token is no signed JWT (its claims cannot be read)") from None
    if not claims.sub or len(claims.sub) > 255:
        raise Unauthenticated("The token's subject must be 1 to 255 characters")
    return claims


def _missing(payload: bytes) -> str:
    """Which required claim is absent or malformed; only names that we ask for are ever said."""
    try:
        found = _read_all(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "The token's claims are no JSON object"
    absent = [name for name in ("iss", "sub", "aud", "exp", "iat") if name not in found]
    if absent:
        return f"The token lacks {', '.join(absent)}"
    return "The token has a claim of the wrong type among iss, sub, aud, exp, iat, nbf and scope"


async def _check_signature(
    issuer: Issuer, header: _Header, signed: bytes, signature: bytes
) -> None:
    if header.alg not in issuer.algorithms:
        raise Unauthenticated("The token is signed by an algorithm that its issuer may not use")
    if (header.typ.lower() if header.typ is not None else None) not in issuer.types:
        raise Unauthenticated("The token is of a type (typ) that is not taken here")
    key = await issuer.keys.find(header.kid)
    if key is None:
        raise Unauthenticated("The token is signed by a key (kid) that is not known here")
    if key.algorithm != header.alg:
        raise Unauthenticated("The token's algorithm is not the one of its key")
    if not key.verifies(signature, signed):
        raise Unauthenticated("The token's signature is not valid")


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


def _others(payload: bytes) -> Mapping[str, Any]:
    try:
        found = _read_all(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Unauthenticated("The token is no signed JWT (its claims cannot be read)") from None
    return {name: value for name, value in found.items() if name not in _REGISTERED}


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
        key = await self._keys.newest()
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
        header = {"alg": "EdDSA", "kid": key.kid, "typ": _OWN_TYPE}
        signed = f"{text64(msgspec.json.encode(header))}.{text64(msgspec.json.encode(payload))}"
        token = f"{signed}.{text64(key.sign(signed.encode()))}"
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
