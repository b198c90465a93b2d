"""Which pages of other origins may call."""

from pathlib import Path
from typing import Any

import pytest

from borough.contracts.marks import ANYONE
from borough.errors import ConfigurationError
from borough.gateway.cors import Cors
from borough.gateway.edge import EdgeSettings
from borough.gateway.raw import RawMount
from tests.gateway.library import Seen, Town

SHOP = "https://shop.example"


def town(folder: Path, *origins: str, credentials: bool = False) -> Town:
    return Town(folder, EdgeSettings(origins=origins, credentials=credentials))


async def preflight(at: Town, origin: str, path: str = "/library/books") -> Seen:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await at.ask("OPTIONS", path, headers=headers)


def listed(seen: Seen, name: str) -> set[str]:
    return {part.strip() for part in (seen.headers.get(name) or "").split(",")}


async def test_a_known_origin_may_ask_and_read(tmp_path: Path) -> None:
    at = town(tmp_path, SHOP)
    asked = await preflight(at, SHOP)
    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers.get("access-control-allow-origin") == SHOP
    assert listed(asked, "access-control-allow-methods") >= {"GET", "POST", "DELETE"}
    assert listed(asked, "access-control-allow-headers") >= {
        "authorization",
        "idempotency-key",
        "x-tenant",
    }
    assert asked.headers.get("access-control-allow-credentials") is None
    seen = await at.get("/library/who", headers={"Origin": SHOP})
    assert seen.status == 200
    assert seen.headers.get("access-control-allow-origin") == SHOP
    assert seen.headers.get("vary") == "origin"
    assert listed(seen, "access-control-expose-headers") >= {"etag", "retry-after", "location"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://shop.example.evil.example",
        "http://shop.example",
        "null",
        "",
    ],
)
async def test_another_origin_is_granted_nothing(tmp_path: Path, origin: str) -> None:
    at = town(tmp_path, SHOP)
    asked = await preflight(at, origin)
    assert (asked.status, asked.detail) == (403, "Pages of this origin may not call here")
    seen = await at.get("/library/who", headers={"Origin": origin})
    for each in (asked, seen):
        assert not [name for name, _ in each.headers.items() if name.startswith("access-control")]
        assert each.headers.get("vary") == "origin"


async def test_a_page_may_read_why_it_was_refused(tmp_path: Path) -> None:
    seen = await town(tmp_path, SHOP).get("/library/shelf", headers={"Origin": SHOP})
    assert seen.status == 401
    assert seen.headers.get("access-control-allow-origin") == SHOP


async def test_credentials_are_allowed_only_when_said_so(tmp_path: Path) -> None:
    asked = await preflight(town(tmp_path, SHOP, credentials=True), SHOP)
    assert asked.headers.get("access-control-allow-credentials") == "true"


async def test_a_star_serves_every_page_without_credentials(tmp_path: Path) -> None:
    at = town(tmp_path, "*")
    asked = await preflight(at, "https://any.example")
    assert asked.headers.get("access-control-allow-origin") == "*"
    seen = await at.get("/library/who")
    assert seen.headers.get("vary") is None


async def test_what_every_page_may_read_says_so_to_who_is_no_page_since_a_cache_may_keep_it(
    tmp_path: Path,
) -> None:
    seen = await town(tmp_path, "*").get("/library/who")
    assert seen.headers.get("access-control-allow-origin") == "*"


@pytest.mark.parametrize(
    ("origins", "origin", "granted"),
    [
        ((SHOP,), SHOP, SHOP),
        ((SHOP,), "https://evil.example", None),
        (("*",), SHOP, "*"),
        ((), SHOP, "*"),
    ],
)
async def test_where_the_edge_says_who_may_read_an_application_says_nothing_beside_it(
    tmp_path: Path, origins: tuple[str, ...], origin: str, granted: str | None
) -> None:
    async def open_to_all(_: Any, receive: Any, send: Any) -> None:
        fields = [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Access-Control-Expose-Headers", b"x-a"),
            (b"x-a", b"1"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"x"})

    mount = RawMount("library", "/library/raw", ANYONE, open_to_all)
    at = Town(tmp_path, EdgeSettings(origins=origins), raws=[mount])
    seen = await at.get("/library/raw", headers={"Origin": origin})
    assert seen.headers.get("access-control-allow-origin") == granted
    assert seen.headers.get("x-a") == "1"
    assert "x-a" in listed(seen, "access-control-expose-headers")


async def test_without_origins_nothing_is_said_of_cors(tmp_path: Path) -> None:
    asked = await preflight(town(tmp_path), SHOP)
    assert asked.status == 405
    assert "access-control-allow-origin" not in asked.headers


@pytest.mark.parametrize(
    ("origins", "credentials"),
    [
        (["*"], True),
        (["*", SHOP], False),
        (["shop.example"], False),
        ([SHOP + "/"], False),
        (["null"], False),
    ],
)
def test_origins_that_mean_something_else_are_refused(
    origins: list[str], credentials: bool
) -> None:
    with pytest.raises(ConfigurationError, match=r"origin|Origins"):
        Cors(origins, credentials=credentials)
