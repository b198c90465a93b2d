"""Which route a path finds, which it does not, and which paths are refused as odd."""

from __future__ import annotations

import pytest

from borough.errors import InvalidRequest, MethodNotAllowed, NotFound
from borough.transports.http.router import Router, split_target

ROUTES = [
    ("GET", "/shop"),
    ("GET", "/shop/items"),
    ("POST", "/shop/items"),
    ("GET", "/shop/items/{item}"),
    ("DELETE", "/shop/items/{item}"),
    ("GET", "/shop/items/new"),
    ("GET", "/shop/items/{item}/parts/{part}"),
    ("GET", "/shop/{kind}/all"),
    ("PUT", "/shop/{kind}/{name}"),
]


def router(*, strict: bool = True) -> Router[str]:
    made: Router[str] = Router(strict=strict)
    for method, template in ROUTES:
        made.add(method, template, f"{method} {template}")
    return made


@pytest.mark.parametrize(
    ("method", "path", "template", "slots"),
    [
        ("GET", "/shop", "/shop", {}),
        ("HEAD", "/shop", "/shop", {}),
        ("POST", "/shop/items", "/shop/items", {}),
        ("GET", "/shop/items/7", "/shop/items/{item}", {"item": "7"}),
        ("HEAD", "/shop/items/7", "/shop/items/{item}", {"item": "7"}),
        ("GET", "/shop/items/new", "/shop/items/new", {}),
        ("DELETE", "/shop/items/new", "/shop/items/{item}", {"item": "new"}),
        ("PUT", "/shop/items/new", "/shop/{kind}/{name}", {"kind": "items", "name": "new"}),
        ("GET", "/shop/items/all", "/shop/items/{item}", {"item": "all"}),
        ("GET", "/shop/toys/all", "/shop/{kind}/all", {"kind": "toys"}),
        (
            "GET",
            "/shop/items/7/parts/a",
            "/shop/items/{item}/parts/{part}",
            {"item": "7", "part": "a"},
        ),
        ("GET", "/shop/items/%C3%BC%20%25", "/shop/items/{item}", {"item": "ü %"}),
        ("GET", "/shop/items/%2e%2e%2e", "/shop/items/{item}", {"item": "..."}),
        ("GET", "/shop/items/a+b;c=1,~'(x)", "/shop/items/{item}", {"item": "a+b;c=1,~'(x)"}),
    ],
)
def test_a_path_finds_its_route(
    method: str, path: str, template: str, slots: dict[str, str]
) -> None:
    found, values = router().find(method, path)
    assert found == f"{'GET' if method == 'HEAD' else method} {template}"
    assert dict(values) == slots


@pytest.mark.parametrize(
    "path",
    ["/", "/sho", "/shop/", "/shop/items/", "/shop/items/7/parts", "/Shop", "/shop/items/7/"],
)
def test_what_no_route_has_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        router().find("GET", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/shop", ["GET", "HEAD"]),
        ("DELETE", "/shop/items", ["GET", "HEAD", "POST"]),
        ("POST", "/shop/items/7", ["DELETE", "GET", "HEAD", "PUT"]),
        ("PATCH", "/shop/items/new", ["DELETE", "GET", "HEAD", "PUT"]),
        ("HEAD", "/shop/toys/red", ["PUT"]),
        ("get", "/shop", ["GET", "HEAD"]),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: list[str]) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        router().find(method, path)
    assert list(caught.value.allowed) == allowed


ODD = [
    "",
    "shop",
    "*",
    "//shop",
    "/shop//items",
    "/shop/.",
    "/shop/../shop",
    "/shop/items/..",
    "/shop/%2e%2e/shop",
    "/shop/.%2E/shop",
    "/shop/items/%00",
    "/shop/items/a%0d%0ab",
    "/shop/items/%7f",
    "/shop/items/a b",
    "/shop/items/a\\b",
    "/shop/items/ü",
    "/shop/items/%ff",
    "/shop/items/%",
    "/shop/items/%4",
    "/shop/items/%zz",
    "/shop/items/%u002e",
    "/shop/items/%%35%63",
    "/shop/items/%2e",
    "/shop/.%2e",
    "/shop/items//",
]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("path", ODD)
def test_an_odd_path_is_refused(path: str, strict: bool) -> None:
    with pytest.raises(InvalidRequest):
        router(strict=strict).find("GET", path)


@pytest.mark.parametrize("path", ["/shop/items/a%2fb", "/shop/items/a%2Fb", "/shop/items/a%5cb"])
def test_an_encoded_slash_is_refused_at_the_edge_and_taken_inside(path: str) -> None:
    with pytest.raises(InvalidRequest):
        router().find("GET", path)
    _, slots = router(strict=False).find("GET", path)
    assert slots["item"] in ("a/b", "a\\b")


def test_a_target_is_split_by_the_template_it_was_made_from() -> None:
    slots, query = split_target(
        "/shop/items/{item}/parts/{part}", "/shop/items/a%2Fb/parts/c?d=e?f"
    )
    assert (slots, query) == ({"item": "a/b", "part": "c"}, "d=e?f")
