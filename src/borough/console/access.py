"""Who may look at the console, and change something from there.

Without a password: only this machine, by a loopback name (a page elsewhere whose name was bent to 127.0.0.1
brings another one) and through no proxy, which may ask for strangers and often names its own way here as the
host. With one: whoever has logged in, from anywhere. A
request that a page of another origin sent is refused in any case, and one that changes something
needs the token that only the console's own page can read.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from borough.clock import Clock
from borough.errors import Forbidden, NotFound, TooManyRequests, Unauthenticated
from borough.services.settings import Secret
from borough.transports.http.addresses import Proxies, client_of
from borough.transports.http.message import Request

__all__ = ["TOKEN", "Access", "Session"]

TOKEN = "x-borough-token"
"""The field that carries a session's token with each change."""
_COOKIE = "borough_console"
_MOST_SESSIONS = 256
_OF_PROXIES = ("forwarded", "via", "x-forwarded-", "x-real-ip")
"""How fields begin that say that somebody has asked through another server."""
_FREE_ATTEMPTS = 3
_LONGEST_PAUSE_S = 60.0
_MOST_GUESSING = 4096


class Session(msgspec.Struct, frozen=True):
    """Somebody who may look. `token` proves that a change comes from the console's own page."""

    token: str
    until: float


class _Guesses(msgspec.Struct, frozen=True):
    """The wrong passwords of one client since its last right one."""

    failed: int = 0
    closed_until: float = float("-inf")


_NONE = _Guesses()


class Access:
    """Decides it for one console. `password` None: this machine only, and no login."""

    def __init__(
        self,
        password: Secret | None,
        lifetime_s: float,
        clock: Clock,
        proxies: Sequence[str] = (),
    ) -> None:
        """`proxies`: networks whose `X-Forwarded-For` is believed."""
        self._password = None if password is None else password.reveal().encode()
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._open = Session(clock.token(24).hex(), float("inf"))
        self._sessions: dict[bytes, Session] = {}
        self._guesses: dict[str, _Guesses] = {}
        self._proxies = Proxies(proxies)

    @property
    def needs_login(self) -> bool:
        """Whether there is a password to be known."""
        return self._password is not None

    def admit(self, request: Request) -> None:
        """Whether the console is there for this request. Raises `NotFound`, `Forbidden`."""
        if self._password is None and not _is_of_this_machine(request):
            raise NotFound(
                "The console is shown on this machine only; console.password lets others log in"
            )
        origin = request.headers.get("origin")
        host = request.headers.get("host") or ""
        if origin is not None and _place(origin) != host.lower():
            raise Forbidden("The console answers its own page, and no other origin")
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site") and (
            request.headers.get("sec-fetch-mode") != "navigate"
        ):
            raise Forbidden("The console answers its own page, and no other origin")

    def session(self, request: Request) -> Session | None:
        """The session that a request belongs to; None where nobody has logged in."""
        if self._password is None:
            return self._open
        found = self._sessions.get(_digest(_secret_in(request)))
        return found if found is not None and found.until > self._clock.monotonic() else None

    def check(self, request: Request) -> None:
        """Whether it may be answered. Raises `Unauthenticated`, `Forbidden` for a change without its token."""
        session = self.session(request)
        if session is None:
            raise Unauthenticated("Log in to the console first")
        if request.method not in ("GET", "HEAD"):
            given = request.headers.get(TOKEN) or ""
            if not hmac.compare_digest(given.encode(), session.token.encode()):
                raise Forbidden(f"A change needs the session's token in {TOKEN}")

    def log_in(self, request: Request, password: str) -> tuple[bytes, bytes]:
        """Begin a session: the cookie's field. Raises `Unauthenticated`, `TooManyRequests`."""
        now, client = self._clock.monotonic(), self._client(request)
        closed_until = self._guesses.get(client, _NONE).closed_until
        if now < closed_until:
            raise TooManyRequests(
                "Too many wrong passwords; wait a little",
                retry_after_s=max(1.0, closed_until - now),
            )
        if self._password is None or not hmac.compare_digest(password.encode(), self._password):
            self._count_guess(client, now)
            raise Unauthenticated("That is not the console's password")
        self._guesses.pop(client, None)
        self._sessions = {k: each for k, each in self._sessions.items() if each.until > now}
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        secret = self._clock.token(32).hex()
        token = self._clock.token(24).hex()
        self._sessions[_digest(secret)] = Session(token, now + self._lifetime_s)
        return _cookie(request, secret, int(self._lifetime_s))

    def _client(self, request: Request) -> str:
        """Whose guesses are counted together: who guesses closes the login for nobody else."""
        peer = request.connection.peer[0]
        if self._proxies:
            peer = self._proxies.origin(peer, request.headers.get("x-forwarded-for") or "")
        return client_of(peer)

    def _count_guess(self, client: str, now: float) -> None:
        failed = self._guesses.pop(client, _NONE).failed + 1
        if len(self._guesses) >= _MOST_GUESSING:
            self._guesses.pop(next(iter(self._guesses)))
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** (failed - _FREE_ATTEMPTS))
        closed_until = now + pause_s if failed >= _FREE_ATTEMPTS else float("-inf")
        self._guesses[client] = _Guesses(failed, closed_until)

    def log_out(self, request: Request) -> tuple[bytes, bytes]:
        """End the session: the field that takes its cookie away."""
        self._sessions.pop(_digest(_secret_in(request)), None)
        return _cookie(request, "", 0)


def _secret_in(request: Request) -> str:
    """The value of our own cookie, which needs no quoting; empty where there is none."""
    for pair in (request.headers.get("cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == _COOKIE:
            return value
    return ""


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _cookie(request: Request, value: str, lifetime_s: int) -> tuple[bytes, bytes]:
    parts = [f"{_COOKIE}={value}", "Path=/console", f"Max-Age={lifetime_s}"]
    parts += ["HttpOnly", "SameSite=Strict"]
    origin = request.headers.get("origin") or ""
    if origin.startswith("https:"):  # the browser says by which scheme it came, a proxy or not
        parts.append("Secure")
    return b"set-cookie", "; ".join(parts).encode()


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host') or ''}").hostname or ""
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """Host and port; empty where it has none, as `null` has."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_of_this_machine(request: Request) -> bool:
    # Browsers ask by HTTP/1.1; an nginx before 1.29.7 that was told nothing but where to ask does not.
    return (
        request.connection.is_modern
        and _is_loopback(_host_name(request))
        and not any(name.startswith(_OF_PROXIES) for name in request.headers.raw)
    )


def _is_loopback(host: str) -> bool:
    """Whether this name can only mean this machine; `*.localhost` is one in each browser."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
