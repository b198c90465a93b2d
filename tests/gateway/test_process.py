"""What borough.toml says reaches the doors of a process, and what does not fit is said at the start."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, final

import pytest

from borough import Service, System, TokenIssuer
from borough.errors import ConfigurationError
from borough.gateway.process import Process
from borough.ports import Signal
from borough.reliability.arrival import Arrival
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from borough.testing.clock import ManualClock
from borough.transports.http.message import Response
from tests.gateway.library import Library, LibraryService, Seen, Shelf, request

FOREIGN = '[edge.tokens]\nissuer = "https://id.example"\njwks = "jwks.json"\n'


def process(
    folder: Path, toml: str = "", service: type[Service] = LibraryService, **options: Any
) -> Process:
    """A process of the library with this borough.toml."""
    (folder / "borough.toml").write_text(toml)
    system = System([service], configuration=Configuration.load(folder, {}))
    return Process(system, clock=ManualClock(), **options)


async def answers(started: Process, *asked: Any) -> list[Seen]:
    """The answers of the edge to these requests, after a start and before a stop."""
    await started.start()
    edge = started.make_edge()
    try:
        return [await Seen.of(await edge.answer(each)) for each in asked]
    finally:
        await edge.close()
        await started.stop()


@pytest.mark.parametrize(("line", "expected"), [("", None), ("cors_credentials = true", "true")])
async def test_pages_may_send_cookies_where_borough_toml_says_so(
    tmp_path: Path, line: str, expected: str | None
) -> None:
    started = process(tmp_path, f'[edge]\ncors = ["https://shop.example"]\n{line}\n')
    asked = request("GET", "/library/who", {"Origin": "https://shop.example"})
    (seen,) = await answers(started, asked)
    assert seen.headers.get("access-control-allow-origin") == "https://shop.example"
    assert seen.headers.get("access-control-allow-credentials") == expected


@pytest.mark.parametrize(
    ("line", "statuses"), [("", [200, 429]), ('proxies = ["192.0.2.0/24"]', [200, 200])]
)
async def test_a_proxy_is_believed_where_borough_toml_names_it(
    tmp_path: Path, line: str, statuses: list[int]
) -> None:
    started = process(tmp_path, f'[edge]\nrate_limit = "1/m"\n{line}\n')
    clients = ["198.51.100.1", "198.51.100.2"]
    asked = [request("GET", "/library/who", {"X-Forwarded-For": each}) for each in clients]
    assert [seen.status for seen in await answers(started, *asked)] == statuses


async def test_a_network_of_proxies_that_is_none_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no network of proxies"):
        await answers(process(tmp_path, '[edge]\nproxies = ["proxy.example"]\n'))


async def test_borough_toml_bounds_what_both_listeners_take(tmp_path: Path) -> None:
    toml = "[edge.limits]\nbody_bytes = 10\n"
    asked = b"POST /library/who HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"
    started = process(tmp_path, toml, edge_port=free_port(), internal_port=free_port())
    await started.start()
    try:
        for url in (started.edge_url, started.internal_url):
            reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
            writer.write(asked)
            assert (await reader.read()).startswith(b"HTTP/1.1 413 ")
            writer.close()
            await writer.wait_closed()
    finally:
        await started.stop()


async def test_a_service_whose_first_call_was_refused_as_it_came_has_proven_itself(
    tmp_path: Path,
) -> None:
    toml = "[limits]\ncalls_in_flight = 1\ncalls_in_flight_least = 1\ncalls_waiting = 0\n"
    started = process(tmp_path, toml, internal_port=free_port())
    await started.start()
    client = started.proof.client("library")
    entrance = started.entrances.to("/library")
    assert entrance is not None
    try:
        entrance.limit.begin(busy := Arrival(0.0, 10.0, entrance), 0.0)
        refused = await client.send(started.internal_origin, "DELETE", "/library/books/emma")
        entrance.leave(busy)
        answer = await client.send(started.internal_origin, "DELETE", "/library/books/emma")
        assert (refused.status, answer.status) == (503, 200)
    finally:
        await client.close()
        await started.stop()


@final
class SulkingLibrary(Shelf, Service, Library):
    """A library that does not close in order."""

    async def close(self) -> None:
        raise RuntimeError("a book is missing")


class Kept:
    """Keeps what it is sent, until it is closed."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.is_closed = False

    async def write(self, signal: Signal, data: bytes) -> None:
        self.signals.append(signal)

    async def close(self) -> None:
        self.is_closed = True


async def test_a_service_that_fails_to_close_takes_no_last_words_from_its_process(
    tmp_path: Path,
) -> None:
    started, sink = process(tmp_path, "", SulkingLibrary, internal_port=free_port()), Kept()
    started.observer.sinks["the test"] = sink
    await started.start()
    with pytest.raises(RuntimeError, match="a book is missing"):
        await started.stop()
    assert sink.is_closed
    assert "metrics" in sink.signals
    assert len(asyncio.all_tasks()) == 1


@final
class IssuingLibrary(Shelf, Service, Library):
    """A library that signs its readers in."""

    tokens: TokenIssuer


def test_with_a_foreign_issuer_nobody_issues_tokens_that_the_edge_would_refuse(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        process(tmp_path, FOREIGN, IssuingLibrary)
    assert str(caught.value) == (
        "library asks for a TokenIssuer, and edge.tokens.issuer is 'https://id.example': the edge "
        'would refuse its tokens. Set edge.tokens.issuer to "own", or sign users in there and take '
        "the attribute out of library"
    )
    assert list(tmp_path.iterdir()) == [tmp_path / "borough.toml"]


async def test_with_a_foreign_issuer_a_service_that_issues_nothing_starts(tmp_path: Path) -> None:
    asked = [request("GET", "/library/who"), request("GET", "/.well-known/jwks.json")]
    seen = await answers(process(tmp_path, FOREIGN), *asked)
    assert [each.status for each in seen] == [200, 404]


async def test_with_own_tokens_a_service_issues_what_the_edge_takes(tmp_path: Path) -> None:
    started = process(tmp_path, "", IssuingLibrary)
    await started.start()
    edge = started.make_edge()
    try:
        token = await started.host.services["library"].instance.tokens.issue("anna")
        asked = request("GET", "/library/shelf", {"Authorization": f"Bearer {token}"})
        assert (await Seen.of(await edge.answer(asked))).json["user"] == "anna"
    finally:
        await edge.close()
        await started.stop()


async def early_process(folder: Path, what: str) -> list[bool | int]:
    """Ready, imported early, imported in the end, on the loop; and the status of an answer."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.gateway.early_process", str(folder), what),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await child.communicate()
    found: list[bool | int] = json.loads(said)
    return found


@pytest.mark.parametrize(("what", "status"), [("request", 401), ("wait", 0)])
async def test_pyjwt_is_imported_after_the_start_and_never_on_the_loop(
    tmp_path: Path, what: str, status: int
) -> None:
    assert await early_process(tmp_path, what) == [True, False, True, False, status]


async def test_a_process_behind_the_door_of_a_fleet_imports_no_pyjwt(tmp_path: Path) -> None:
    assert await early_process(tmp_path, "behind") == [True, False, False, False, 0]


@pytest.mark.parametrize("pages", [".", "..", "web/..", ".borough", ".borough/web", "link"])
async def test_a_folder_of_pages_that_holds_keys_or_code_is_refused(
    tmp_path: Path, pages: str
) -> None:
    home = tmp_path / "home"
    (home / "web").mkdir(parents=True)
    (home / ".borough" / "web").mkdir(parents=True)
    (home / "link").symlink_to(home)
    started = process(home, f'[edge]\npages = "{pages}"\n')
    with pytest.raises(ConfigurationError, match="name a folder that holds nothing but pages"):
        await answers(started)


async def test_a_folder_of_pages_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "borough.toml").write_text('[edge]\npages = "."\n')
    system = System([LibraryService], configuration=Configuration.load(tmp_path, {}))
    started = Process(system, clock=ManualClock(), edge_port=free_port())
    with pytest.raises(ConfigurationError, match="name a folder that holds nothing but pages"):
        await started.start()
    assert os.listdir(tmp_path) == ["borough.toml"]


async def test_pages_of_other_origins_may_read_what_was_refused_at_the_listener(
    tmp_path: Path,
) -> None:
    toml = '[edge]\ncors = ["https://shop.example"]\n[limits]\ncalls_in_flight = 1\n'
    started = process(tmp_path, toml, edge_port=free_port())
    await started.start()
    try:
        edge = started.front.edge
        assert edge is not None
        refused = Response(503, ((b"retry-after", b"1"),))
        asked = request("GET", "/library/who", {"Origin": "https://shop.example"})
        server = started.front._server
        assert server is not None
        assert server.mark is not None
        marked = dict(server.mark(asked, refused).headers)
        assert marked[b"access-control-allow-origin"] == b"https://shop.example"
        assert refused.headers == ((b"retry-after", b"1"),)
    finally:
        await started.stop()
