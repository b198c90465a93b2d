"""A folder of pages: what is served, how, and what never leaves it."""

import os
from pathlib import Path

import pytest

from borough.errors import ConfigurationError
from borough.gateway.edge import EdgeSettings
from tests.gateway.library import Town


@pytest.fixture
def web(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "help").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "index.html").write_text("<h1>Shop</h1>")
    (folder / "help" / "index.html").write_text("help")
    (folder / "app.js").write_text("run()")
    (folder / "app.0a1b2c3d4e.js").write_text("run()")
    (folder / "mit umlaut ä.txt").write_text("ä")
    (folder / "large.png").write_bytes(b"x" * 300_000)
    (folder / ".env").write_text("secret")
    (folder / "gate.db").write_text("secret")
    (folder / "0001.jwk").write_text("secret")
    (folder / "settings").write_text("secret")
    (folder / "key.txt").symlink_to(folder / "0001.jwk")
    (folder / "env.txt").symlink_to(folder / ".env")
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "up").symlink_to(tmp_path)
    return folder


@pytest.fixture
def town(tmp_path: Path, web: Path) -> Town:
    return Town(tmp_path, EdgeSettings(pages=web))


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/", b"<h1>Shop</h1>", "text/html; charset=utf-8"),
        ("/index.html", b"<h1>Shop</h1>", "text/html; charset=utf-8"),
        ("/help/", b"help", "text/html; charset=utf-8"),
        ("/app.js", b"run()", "text/javascript; charset=utf-8"),
        ("/mit%20umlaut%20%C3%A4.txt", "ä".encode(), "text/plain; charset=utf-8"),
        ("/large.png", b"x" * 300_000, "image/png"),
    ],
)
async def test_a_file_is_served_with_its_type(
    town: Town, path: str, body: bytes, kind: str
) -> None:
    seen = await town.get(path)
    assert (seen.status, seen.body, seen.headers.get("content-type")) == (200, body, kind)


async def test_pages_are_guarded_in_the_browser(town: Town) -> None:
    seen = await town.get("/")
    policy = seen.headers.get("content-security-policy") or ""
    assert "default-src 'self'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy
    assert seen.headers.get("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("path", ["/app.js", "/large.png"])
async def test_a_client_that_has_the_file_is_not_sent_it_again(
    town: Town, web: Path, path: str
) -> None:
    tag = (await town.get(path)).headers.get("etag") or ""
    same = await town.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status, same.body, same.headers.get("etag")) == (304, b"", tag)
    (web / path[1:]).write_bytes(b"y" * 300_001)
    assert (await town.get(path, headers={"If-None-Match": tag})).status == 200


async def test_only_names_with_a_hash_are_kept_without_asking(town: Town) -> None:
    assert (await town.get("/app.js")).headers.get("cache-control") == "no-cache"
    kept = (await town.get("/app.0a1b2c3d4e.js")).headers.get("cache-control") or ""
    assert "immutable" in kept


async def test_a_date_in_a_name_is_no_hash(town: Town, web: Path) -> None:
    (web / "prices-20261126.json").write_text("{}")
    assert (await town.get("/prices-20261126.json")).headers.get("cache-control") == "no-cache"


async def test_a_folder_is_asked_for_with_a_slash(town: Town) -> None:
    seen = await town.get("/help?x=1")
    assert (seen.status, seen.headers.get("location")) == (308, "/help/?x=1")
    assert (await town.get("/empty")).status == 404
    assert (await town.get("/empty/")).status == 404


HOSTILE = [
    "/../outside.txt", "/..%2foutside.txt", "/%2e%2e/outside.txt", "/help/../../outside.txt", "/./app.js",
    "//app.js", "//evil.example", "/help//index.html", "/..%5coutside.txt", "/app.js%00.txt", "/app.js/",
    "/.env", "/%2eenv", "/link.txt", "/up/outside.txt", "/up/", "/etc/passwd", "/%ff", "/app.js%0d%0a",
    "/" + "a" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
async def test_nothing_outside_the_folder_is_served(town: Town, path: str) -> None:
    seen = await town.get(path)
    assert seen.status in (400, 404)
    assert b"secret" not in seen.body
    assert seen.headers.get("content-type") == "application/problem+json"


async def test_a_page_cannot_be_written(town: Town) -> None:
    seen = await town.ask("POST", "/app.js", body=b"x")
    assert (seen.status, seen.headers.get("allow")) == (405, "GET, HEAD")


async def test_services_come_before_pages(town: Town, web: Path) -> None:
    (web / "library").mkdir()
    (web / "library" / "who").write_text("a page")
    assert (await town.get("/library/who")).json["user"] is None
    assert (await town.get("/library/nothing")).status == 404


def test_a_folder_that_does_not_exist_is_a_fault_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="create it or mend `pages`"):
        Town(tmp_path, EdgeSettings(pages=tmp_path / "missing"))


async def test_a_file_that_cannot_be_read_does_not_show_why(town: Town, web: Path) -> None:
    (web / "app.js").unlink()
    os.mkfifo(web / "app.js")
    assert (await town.get("/app.js")).status == 404


@pytest.mark.parametrize("path", ["/gate.db", "/0001.jwk", "/settings", "/key.txt", "/env.txt"])
async def test_what_is_of_no_known_kind_is_not_served(town: Town, path: str) -> None:
    seen = await town.get(path)
    assert seen.status == 404
    assert b"secret" not in seen.body
