"""What a service does with more calls than it can do: few at once, the newest first, the rest told at once."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol, final

import pytest

from borough import ANYONE, Service, contract, get
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.runtime.system import System
from borough.transports.http.client import HttpClient

OPTIONS = """
[edge]
cors = ["https://press.example"]

[limits]
calls_in_flight = 2
calls_waiting = {waiting}
calls_waiting_s = {wait_s}
burst_waiting = {burst}
burst_s = {burst_s}
"""
OVERLOAD_AT_ONCE = (1, 1e-9)


@contract("kiosk", version="1.0")
class Kiosk(Protocol):
    """Sells papers."""

    @get("/papers/{number}", allow=ANYONE)
    async def paper(self, number: int) -> int:
        """One paper, once the press has printed it."""
        ...

    @get("/sums/{number}", allow=ANYONE)
    async def sum(self, number: int) -> int:
        """Computes for 20 ms."""
        ...


@final
class KioskService(Service, Kiosk):
    """Prints when it is told to."""

    printed: asyncio.Event
    begun: list[int]
    meanwhile: Callable[[], None]

    async def open(self) -> None:
        self.printed = asyncio.Event()
        self.begun = []
        self.meanwhile = lambda: None

    async def paper(self, number: int) -> int:
        self.begun.append(number)
        await self.printed.wait()
        return number

    async def sum(self, number: int) -> int:
        self.begun.append(number)
        self.meanwhile()
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        return number


class Town:
    """A kiosk in its process, and customers on connections of their own."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.http = HttpClient()
        self.port = int(process.edge_url.rpartition(":")[2])
        self.kiosk: Any = process.host.services["kiosk"].instance

    async def ask(self, path: str, timeout_s: float = 10.0, origin: str = "") -> Any:
        deadline = asyncio.get_running_loop().time() + 10.0
        timeout = str(round(timeout_s * 1000)).encode()
        headers = ((b"borough-timeout-ms", timeout), (b"origin", origin.encode()))
        return await self.http.send(
            ("127.0.0.1", self.port), "GET", path, headers=headers, deadline=deadline
        )

    async def until_begun(self, count: int) -> None:
        while len(self.kiosk.begun) < count:  # noqa: ASYNC110 - the handler has no other way
            await asyncio.sleep(0.001)

    async def until_inside(self, count: int) -> None:
        """Wait until so many have arrived, at work or in the line."""
        entrance = self.process.entrances.to("/kiosk/papers")
        assert entrance is not None
        while entrance.limit.at_work + len(entrance.line) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


@pytest.fixture
async def town(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    waiting, wait_s, *rest = getattr(request, "param", (2, 5.0))
    burst, burst_s = rest or OVERLOAD_AT_ONCE
    options = OPTIONS.format(waiting=waiting, wait_s=wait_s, burst=burst, burst_s=burst_s)
    (tmp_path / "borough.toml").write_text(options)
    system = System([KioskService], configuration=Configuration.load(tmp_path, {}))
    process = Process(system, data_folder=tmp_path / "data", edge_port=0)
    await process.start()
    made = Town(process)
    try:
        yield made
    finally:
        made.kiosk.printed.set()
        await made.http.close()
        await process.stop()
    entrance = process.entrances.to("/kiosk/papers")
    assert entrance is not None
    assert (entrance.limit.at_work, len(entrance.line)) == (0, 0)


def told(response: Any) -> tuple[int, str, str | None]:
    """Status, detail and Retry-After of a refusal."""
    document = json.loads(response.body)
    assert (document["code"], document["retryable"]) == ("unavailable", True)
    return response.status, document["detail"], response.headers.get("retry-after")


async def test_what_has_no_room_waits_and_the_newest_goes_first(town: Town) -> None:
    asked = []
    for number in range(4):
        asked.append(asyncio.create_task(town.ask(f"/kiosk/papers/{number}")))
        await town.until_inside(number + 1)
    await town.until_begun(2)
    assert town.kiosk.begun == [0, 1]
    town.kiosk.printed.set()
    assert [response.status for response in await asyncio.gather(*asked)] == [200] * 4
    assert town.kiosk.begun == [0, 1, 3, 2]


async def test_for_one_too_many_the_oldest_is_refused_at_once(town: Town) -> None:
    asked = []
    for number in range(5):
        asked.append(asyncio.create_task(town.ask(f"/kiosk/papers/{number}")))
        await town.until_inside(min(number + 1, 4))
    status, detail, after = told(await asked[2])
    assert (status, after) == (503, "1")
    assert "full queue: newer" in detail
    town.kiosk.printed.set()
    responses = await asyncio.gather(*asked)
    assert [response.status for response in responses] == [200, 200, 503, 200, 200]


@pytest.mark.parametrize("town", [(2, 0.01, 20, 60.0)], indirect=True)
async def test_in_a_burst_many_wait_and_go_in_the_order_in_which_they_came(town: Town) -> None:
    asked = []
    for number in range(10):
        asked.append(asyncio.create_task(town.ask(f"/kiosk/papers/{number}", timeout_s=60.0)))
        await town.until_inside(number + 1)
    await asyncio.sleep(0.1)  # longer than under overload
    assert town.kiosk.begun == [0, 1]
    town.kiosk.printed.set()
    assert [response.status for response in await asyncio.gather(*asked)] == [200] * 10
    assert town.kiosk.begun == list(range(10))


@pytest.mark.parametrize("town", [(2, 5.0, 4, 60.0)], indirect=True)
async def test_one_too_many_of_a_burst_is_refused_at_once(town: Town) -> None:
    asked = []
    for number in range(6):
        asked.append(asyncio.create_task(town.ask(f"/kiosk/papers/{number}", timeout_s=60.0)))
        await town.until_inside(number + 1)
    status, detail, after = told(await town.ask("/kiosk/papers/9", timeout_s=60.0))
    assert (status, after) == (503, "1")
    assert "full queue: those that came before" in detail
    town.kiosk.printed.set()
    assert [response.status for response in await asyncio.gather(*asked)] == [200] * 6
    assert town.kiosk.begun == list(range(6))


@pytest.mark.parametrize("town", [(0, 5.0)], indirect=True)
async def test_where_none_may_wait_the_limit_refuses_and_the_connection_goes_on(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(2)]
    await town.until_begun(2)
    status, detail, after = told(await town.ask("/kiosk/papers/9"))
    assert (status, after) == (503, "1")
    assert "limit" in detail
    town.kiosk.printed.set()
    await asyncio.gather(*asked)
    assert (await town.ask("/kiosk/papers/9")).status == 200


@pytest.mark.parametrize("town", [(4, 0.05)], indirect=True)
async def test_who_has_waited_for_too_long_is_told_so_though_nothing_ends(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(2)]
    await town.until_begun(2)
    status, detail, _ = told(await town.ask("/kiosk/papers/9"))
    assert status == 503
    assert "deadline" in detail
    town.kiosk.printed.set()
    await asyncio.gather(*asked)


@pytest.mark.parametrize("town", [(4, 60.0)], indirect=True)
async def test_half_of_a_calls_time_is_told_to_be_over_though_many_seconds_may_be_waited(
    town: Town,
) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(2)]
    await town.until_begun(2)
    status, detail, _ = told(await town.ask("/kiosk/papers/9", timeout_s=0.2))
    assert status == 503
    assert "deadline" in detail
    town.kiosk.printed.set()
    await asyncio.gather(*asked)


async def test_nobody_waits_for_longer_than_half_of_the_time_of_the_call(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(2)]
    await town.until_begun(2)
    waits = asyncio.create_task(town.ask("/kiosk/papers/9", timeout_s=1.0))
    await town.until_inside(3)
    await asyncio.sleep(0.6)
    town.kiosk.printed.set()
    assert "deadline" in told(await waits)[1]
    await asyncio.gather(*asked)
    assert town.kiosk.begun == [0, 1]


async def test_who_leaves_gives_up_the_place_at_work_and_in_the_line(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(4)]
    await town.until_begun(2)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    town.kiosk.printed.set()
    assert (await town.ask("/kiosk/papers/9")).status == 200
    assert len(town.kiosk.begun) == 3


@pytest.mark.parametrize("town", [(0, 5.0)], indirect=True)
async def test_computing_handlers_are_limited_although_they_never_overlap(town: Town) -> None:
    await town.ask("/kiosk/sums/0")
    asked = [town.ask(f"/kiosk/sums/{number}") for number in range(1, 13)]
    statuses = [response.status for response in await asyncio.gather(*asked)]
    assert set(statuses) == {200, 503}


async def test_what_lay_unread_for_half_of_its_time_is_refused(town: Town) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
    request = b"GET /kiosk/sums/2 HTTP/1.1\r\nhost: x\r\nborough-timeout-ms: 20\r\n\r\n"
    try:
        await asyncio.sleep(0.05)
        town.kiosk.meanwhile = lambda: writer.write(request)
        assert (await town.ask("/kiosk/sums/1")).status == 200
        assert b" 503 " in await reader.readline()
        assert town.kiosk.begun == [1]
    finally:
        writer.close()


@pytest.mark.parametrize("town", [(0, 5.0)], indirect=True)
async def test_a_page_of_another_origin_may_read_that_it_was_refused(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(2)]
    await town.until_begun(2)
    for origin, allowed in [("https://press.example", "https://press.example"), ("x", None)] * 2:
        refused = await town.ask("/kiosk/papers/9", origin=origin)
        assert refused.status == 503
        assert refused.headers.get("access-control-allow-origin") == allowed
    town.kiosk.printed.set()
    await asyncio.gather(*asked)


async def test_pages_and_probes_are_answered_while_a_service_is_full(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(4)]
    await town.until_begun(2)
    assert (await town.ask("/livez")).status == 200
    town.kiosk.printed.set()
    await asyncio.gather(*asked)


async def test_a_name_that_is_written_oddly_leads_to_the_same_entrance(town: Town) -> None:
    asked = [asyncio.create_task(town.ask(f"/%6biosk/papers/{number}")) for number in range(3)]
    await asyncio.sleep(0.05)
    assert len(town.kiosk.begun) <= 2
    town.kiosk.printed.set()
    await asyncio.gather(*asked)


async def test_after_a_handler_that_computed_all_who_wait_are_accepted(town: Town) -> None:
    clients: list[socket.socket] = []

    def connect() -> None:
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", town.port))
            client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            client.setblocking(False)
            clients.append(client)

    town.kiosk.meanwhile = connect
    await town.ask("/kiosk/sums/1")
    loop = asyncio.get_running_loop()
    try:
        for client in clients:
            assert b" 200 " in await loop.sock_recv(client, 1000)
    finally:
        for client in clients:
            client.close()


async def _connect_on(port: int) -> None:
    """Connect again and again: who is on the way when a drain begins is still taken, and answered."""
    async with asyncio.timeout(10):
        while True:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await asyncio.sleep(0.01)


async def test_a_server_that_drains_is_soon_not_connected_to(town: Town) -> None:
    asked = asyncio.create_task(town.ask("/kiosk/papers/1"))
    await town.until_begun(1)
    stopping = asyncio.create_task(town.process.stop())
    with pytest.raises(ConnectionRefusedError):
        await _connect_on(town.port)
    assert not asked.done()
    town.kiosk.printed.set()
    assert (await asked).status == 200
    await stopping


@pytest.mark.parametrize("town", [(100, 5.0, 100, 60.0)], indirect=True)
async def test_who_waits_and_is_dropped_for_what_it_holds_waits_no_more(town: Town) -> None:
    entrance = town.process.entrances.to("/kiosk/papers")
    assert entrance is not None
    calls = [asyncio.create_task(town.ask(f"/kiosk/papers/{number}")) for number in range(3)]
    await town.until_inside(3)
    (waiting,) = (each.waiter for each in [*entrance.line._outside])
    waiting.drop()
    assert len(entrance.line) == 0
    town.kiosk.printed.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(getattr(each, "status", 0) == 200 for each in answers) == 2
    assert entrance.limit.at_work == 0
