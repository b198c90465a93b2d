"""Who may look at the console, and change something from there."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Protocol, final

import msgspec
import pytest

from borough import Service, contract, get
from borough.clock import SystemClock
from borough.console.access import Access
from borough.console.live import Live, Source
from borough.console.one_process import mounts
from borough.errors import ConfigurationError, TooManyRequests, Unauthenticated
from borough.gateway.process import Process
from borough.runtime.system import System
from borough.services.settings import Secret
from borough.testing.clock import ManualClock
from borough.transports.http.message import Connection, Headers, Request
from tests.console.ferry import FACTS, Browser, ferry, sailing

SESSION = "/console/api/session"
LOCKED = FACTS + '\n[console]\npassword = "file:password"\n'


def locked(folder: Path, toml: str = LOCKED) -> System:
    """The ferry, whose console asks for a password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text("open sesame\n", encoding="utf-8")
    return ferry(folder, toml)


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with sailing(ferry(tmp_path), tmp_path) as process:
        yield Browser(process)


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[Browser]:
    """Somebody on another machine, before a console with a password."""
    async with sailing(locked(tmp_path), tmp_path) as process:
        yield Browser(process)


async def log_in(browser: Browser, password: str) -> tuple[int, dict[str, str]]:
    body = msgspec.json.encode({"password": password})
    status, headers, _ = await browser.get(SESSION, "ferry.example", "POST", body)
    return status, headers


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080", "ferry.localhost"])
async def test_it_is_open_under_a_loopback_name(browser: Browser, host: str) -> None:
    assert (await browser.get("/console/api/state", host=host))[0] == 200


@pytest.mark.parametrize("host", ["ferry.example", "10.0.0.7:8080", "localhost.example", "[::1"])
async def test_without_a_password_it_is_hidden_under_any_other_name(
    browser: Browser, host: str
) -> None:
    for path in ("/console/", "/console/api/state", SESSION):
        assert (await browser.get(path, host=host))[0] in (400, 404)


@pytest.mark.parametrize(
    "sent",
    [
        {"x_forwarded_for": "203.0.113.9"},
        {"x_forwarded_proto": "https"},
        {"via": "1.1 front"},
        {"forwarded": "for=_x"},
    ],
)
async def test_without_a_password_it_is_hidden_from_who_comes_through_a_proxy(
    browser: Browser, sent: dict[str, str]
) -> None:
    assert (await browser.get("/console/api/state", body=None, **sent))[0] == 404


async def test_without_a_password_it_is_hidden_from_who_comes_through_an_nginx_that_was_told_nothing(
    browser: Browser,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
    writer.write(
        b"GET %b HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
        b"User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n" % (SESSION.encode(), browser.port)
    )
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "http://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"},
    ],
)
async def test_a_page_of_another_origin_is_refused(browser: Browser, sent: dict[str, str]) -> None:
    assert (await browser.get("/console/api/state", body=None, **sent))[0] == 403


async def test_a_link_from_elsewhere_leads_to_it(browser: Browser) -> None:
    sent = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert (await browser.get("/console/", body=None, **sent))[0] == 200


async def test_a_change_needs_the_token_of_the_session(browser: Browser) -> None:
    token = str((await browser.document(SESSION))["token"])
    end = f"{SESSION}/end"
    assert (await browser.get(end, method="POST"))[0] == 403
    assert (await browser.get(end, method="POST", x_borough_token="wrong"))[0] == 403
    assert (await browser.get(end, method="POST", x_borough_token=token))[0] == 204


async def test_with_a_password_whoever_knows_it_may_look(stranger: Browser) -> None:
    host = "ferry.example"
    assert (await stranger.get("/console/", host))[0] == 200
    for name in (host, "localhost"):
        assert (await stranger.get("/console/api/state", name))[0] == 401
    status, headers = await log_in(stranger, "open sesame")
    assert status == 204
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/console" in cookie
    pair = cookie.partition(";")[0]
    assert (await stranger.get("/console/api/state", host, cookie=pair))[0] == 200
    _, _, body = await stranger.get(SESSION, host, cookie=pair)
    session = msgspec.json.decode(body)
    assert session["logged_in"]
    assert session["token"]
    end, token = f"{SESSION}/end", session["token"]
    assert (await stranger.get(end, host, "POST", cookie=pair, x_borough_token=token))[0] == 204
    assert (await stranger.get("/console/api/state", host, cookie=pair))[0] == 401


async def test_what_is_live_ends_with_the_session() -> None:
    looks, sessions = count(), ["mine"]

    async def read() -> dict[str, dict[str, int]]:
        return {"looks": {"number": next(looks)}}

    live = Live([Source(("looks",), read, 0.01)], SystemClock())
    async with asyncio.timeout(20):
        async for event in live.follow(("looks",), lambda: bool(sessions)):
            if b"event: looks" in event:
                sessions.clear()
    assert not sessions
    await live.close()


async def test_whoever_guesses_has_to_wait(stranger: Browser) -> None:
    assert [(await log_in(stranger, "guess"))[0] for _ in range(4)] == [401, 401, 401, 429]
    assert (await log_in(stranger, "open sesame"))[0] == 429


def test_who_guesses_closes_the_login_for_nobody_else() -> None:
    access = Access(Secret("open sesame"), 60, ManualClock(), ("10.0.0.0/8",))

    def tried(password: str, peer: str, forwarded: str = "") -> None:
        headers = Headers.of([(b"x-forwarded-for", forwarded.encode())])
        request = Request("POST", SESSION, "", headers, b"", Connection((peer, 1)))
        access.log_in(request, password)

    for forwarded in ("", "198.51.100.7"):
        for _ in range(3):
            with pytest.raises(Unauthenticated):
                tried("guess", "10.0.0.1" if forwarded else "203.0.113.9", forwarded)
    for peer, forwarded in (("203.0.113.9", ""), ("10.0.0.1", "198.51.100.7")):
        with pytest.raises(TooManyRequests):
            tried("open sesame", peer, forwarded)
    tried("open sesame", "203.0.113.10")
    tried("open sesame", "10.0.0.1", "198.51.100.8")


def test_a_password_in_clear_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"console\.password .* is a secret in clear"):
        ferry(tmp_path, '[console]\npassword = "open sesame"\n')


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("", True),
        ('[edge]\nhost = "localhost"', True),
        ('[edge]\nhost = "::1"', True),
        ('[edge]\nhost = "0.0.0.0"', False),
        ('[edge]\nhost = "0.0.0.0"\n[console]\npassword = "file:password"', True),
        ("[console]\nserve = false", False),
    ],
)
async def test_it_is_there_on_loopback_or_with_a_password(
    tmp_path: Path, options: str, shown: bool
) -> None:
    process = Process(locked(tmp_path, options), data_folder=tmp_path / "data")
    assert sorted(mounts(process)) == (["/console", "/system"] if shown else [])
    for close in process.closing:
        await close()


@contract("console", version="1.0")
class Helm(Protocol):
    """A contract of a service with an unlucky name."""

    @get("/depth")
    async def depth(self) -> int:
        """How deep it is."""
        ...


@final
class HelmService(Service, Helm):
    """A service with an unlucky name."""

    async def depth(self) -> int:
        return 11


def test_a_service_named_console_is_not_hidden_by_it(tmp_path: Path) -> None:
    unlucky = Process(ferry(tmp_path, services=(HelmService,)), data_folder=tmp_path / "data")
    with pytest.raises(ConfigurationError, match="rename the service"):
        mounts(unlucky)
