"""The end user of a call: who may say it, and that nobody makes more of it."""

import contextlib
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from borough.services.context import Call, Principal
from borough.transports.http import wire
from tests.gateway.library import Town

ADMIN = wire.write_principal(Principal("admin", ("books:write", "books:read"))).decode()


@pytest.mark.parametrize(
    "forged",
    [
        {"Borough-Principal": ADMIN},
        {"borough-principal": ADMIN, "Borough-Service": "library", "Borough-Proof": "0" * 64},
        {"BOROUGH-PRINCIPAL": ADMIN, "Borough-Anything": "x"},
        {"Borough-Principal ": ADMIN},
    ],
)
async def test_the_edge_believes_no_header_about_user_or_service(
    tmp_path: Path, forged: dict[str, str]
) -> None:
    town = Town(tmp_path)
    seen = await town.get("/library/who", headers=forged)
    assert seen.json == {"service": None, "user": None, "scopes": []}
    assert (await town.get("/library/shelf", headers=forged)).status == 401
    book = b'{"title": "Emma"}'
    assert (await town.ask("POST", "/library/books", headers=forged, body=book)).status == 401
    token = await town.issuer.issue("anna", scopes=("books:read",))
    seen = await town.get("/library/shelf", token, headers=forged)
    assert seen.json == {"service": None, "user": "anna", "scopes": ["books:read"]}
    refused = await town.ask("POST", "/library/books", token, headers=forged, body=book)
    assert refused.status == 403
    assert "books:write, which the token lacks" in refused.detail


def test_the_call_at_hand_cannot_be_changed() -> None:
    call = Call("a.A.b", "a", "c", Principal("anna"), 1.0, None)
    for name in call.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(call, name, None)


def test_nothing_of_an_end_user_can_be_changed() -> None:
    given: dict[str, Any] = {"role": "reader", "groups": ["a"], "shop": {"owner": False}}
    anna = Principal("anna", ("read",), given)
    claims: Any = anna.claims
    changes: list[Callable[[], Any]] = [
        lambda: claims.update(role="admin"),
        lambda: claims.__setitem__("role", "admin"),
        lambda: claims.__delitem__("role"),
        lambda: claims.setdefault("more", 1),
        lambda: claims.pop("role"),
        lambda: claims.popitem(),
        lambda: claims.clear(),
        lambda: claims.__ior__({"role": "admin"}),
        lambda: claims["shop"].update(owner=True),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="the claims of an end user cannot be changed"):
            change()
    given["role"] = "admin"
    with contextlib.suppress(AttributeError):
        claims["groups"].append("b")
    assert claims == {"role": "reader", "groups": ("a",), "shop": {"owner": False}}


def test_an_end_user_without_claims_is_given_none() -> None:
    with pytest.raises(TypeError):
        Principal("anna").claims["role"] = "admin"  # type: ignore[index]
    assert Principal("bert").claims == {}


def test_an_end_user_travels_and_is_copied_whole() -> None:
    anna = Principal("anna", ("read",), {"groups": ["a"], "shop": {"owner": False}})
    assert wire.read_principal(wire.write_principal(anna).decode()) == anna
    for same in (copy.deepcopy(anna), copy.copy(anna), pickle.loads(pickle.dumps(anna))):
        assert same == anna
        claims: Any = same.claims
        with pytest.raises(TypeError):
            claims["role"] = "admin"
