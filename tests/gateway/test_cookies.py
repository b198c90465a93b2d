"""A cookie that a browser was given by https never goes out in clear text."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from borough import ANYONE, Reply, Service, System, contract, get
from borough.gateway.process import Process
from borough.transports.http.message import Connection
from tests.gateway.library import Seen, request


@contract("till", version="1.0")
class Till(Protocol):
    """Sells seats."""

    @get("/seat", allow=ANYONE)
    async def seat(self) -> Reply[str]: ...


class TillService(Service, Till):
    async def seat(self) -> Reply[str]:
        return Reply(value="12", cookies={"seat": "12"})


@pytest.mark.parametrize(
    ("scheme", "said", "is_secure"),
    [
        ("http", {}, False),
        ("http", {"X-Forwarded-Proto": "http"}, False),
        ("http", {"X-Forwarded-Proto": "https"}, True),
        ("http", {"X-Forwarded-Proto": "HTTPS, http"}, True),
        ("https", {}, True),
    ],
)
async def test_a_cookie_of_a_reply_is_secure_where_the_client_asked_by_https(
    tmp_path: Path, scheme: str, said: dict[str, str], is_secure: bool
) -> None:
    started = Process(System([TillService]), data_folder=tmp_path)
    await started.start()
    try:
        by = Connection(("192.0.2.7", 4711), scheme)
        asked = request("GET", "/till/seat", said, connection=by)
        answer = await Seen.of(await started.make_edge().answer(asked))
    finally:
        await started.stop()
    secure = "; Secure" if is_secure else ""
    assert answer.headers.get("set-cookie") == f"seat=12; Path=/; HttpOnly; SameSite=Lax{secure}"
