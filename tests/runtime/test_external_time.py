"""How long a service elsewhere is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from borough import ANYONE, System, contract, get
from borough.errors import DeadlineExceeded
from borough.runtime.configuration import Configuration
from borough.testing import start
from borough.transports.http.message import Request, Response
from tests.transports.http.listening import Service as Listening


@contract("pay", version="1.0")
class HastyPay(Protocol):
    """Is not waited for."""

    @get("/balance", allow=ANYONE, timeout_s=0.3)
    async def balance(self) -> int: ...

    @get("/movements", allow=ANYONE, timeout_s=0.3)
    def movements(self) -> AsyncIterator[int]: ...


async def test_the_time_of_an_operation_is_kept_to_though_nobody_elsewhere_does(
    tmp_path: Path,
) -> None:
    asked: list[Request] = []

    async def never(request: Request) -> Response:
        asked.append(request)
        await asyncio.Event().wait()
        raise AssertionError

    service = await Listening.open(never)
    (tmp_path / "borough.toml").write_text(
        f'[external.pay]\nurl = "http://127.0.0.1:{service.origin[1]}"\n'
        "[limits]\ndefault_timeout_s = 50\n"
    )
    built = System([], configuration=Configuration.load(tmp_path, {}), contracts=[HastyPay])
    try:
        async with start(built) as running, asyncio.timeout(20):
            pay = running.client(HastyPay)
            with pytest.raises(DeadlineExceeded):
                await pay.balance()
            with pytest.raises(DeadlineExceeded):
                await anext(aiter(pay.movements()))
    finally:
        await service.server.close()
    assert {each.path for each in asked} == {"/balance", "/movements"}
    assert all(0 < int(each.headers.get("borough-timeout-ms") or 0) <= 300 for each in asked)
