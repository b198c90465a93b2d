"""An Idempotency-Key over HTTP: one run, however often and from wherever the request comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, final

import pytest

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    USER,
    Database,
    Problem,
    Service,
    System,
    TokenIssuer,
    contract,
    post,
    scope,
)
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from tests.calls.booth import Answer, ask

STORM = 64


class Declined(Problem, status=402):
    """The card was declined."""

    reason: str


@contract("till", version="1.0")
class Till(Protocol):
    """Takes money, once per key."""

    @post("/payments", allow=USER, status=201, idempotent_by=IDEMPOTENCY_KEY, raises=[Declined])
    async def pay(self, cents: int) -> int: ...

    @post("/gifts", allow=USER, status=201, idempotent_by=IDEMPOTENCY_KEY)
    async def give(self, cents: int) -> int: ...

    @post("/refunds", allow=scope("refund"), status=201, idempotent_by=IDEMPOTENCY_KEY)
    async def refund(self, cents: int) -> int: ...

    @post("/logins/{name}", allow=ANYONE)
    async def login(self, name: str, scopes: tuple[str, ...] = ()) -> str: ...


@final
class TillService(Service, Till):
    db: Database
    tokens: TokenIssuer

    async def open(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fails = ""
        async with self.db.transaction() as tx:
            await tx.execute("create table if not exists taken (what text, cents integer)")

    async def pay(self, cents: int) -> int:
        self.begun.set()
        await self.go_on.wait()
        answer = await self._take("payment", cents)
        if self.fails == "after":
            raise RuntimeError("after the answer")
        return answer

    async def give(self, cents: int) -> int:
        return await self._take("gift", cents)

    async def refund(self, cents: int) -> int:
        return await self._take("refund", -cents)

    async def _take(self, what: str, cents: int) -> int:
        async with self.db.transaction() as tx:
            await tx.execute("insert into taken values ($1, $2)", what, cents)
            if self.fails == "before":
                raise RuntimeError("before the answer")
            if self.fails == "declined":
                declined = Declined(reason="no money")
                await tx.answer(declined)
            else:
                return await tx.answer(await tx.one(int, "select count(*) from taken"))
        raise declined

    async def login(self, name: str, scopes: tuple[str, ...] = ()) -> str:
        return await self.tokens.issue(name, scopes=scopes)


class Door:
    """A running till, asked over HTTP on a connection for each request."""

    def __init__(self, process: Process, threads: ThreadPoolExecutor) -> None:
        self.process = process
        self.threads = threads
        self.ann = ""

    @property
    def service(self) -> TillService:
        instance = self.process.host.services["till"].instance
        assert isinstance(instance, TillService)
        return instance

    async def post(
        self, target: str, key: str | None, body: bytes = b'{"cents": 5}', token: str | None = None
    ) -> Answer:
        headers = {"Authorization": f"Bearer {self.ann if token is None else token}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        loop = asyncio.get_running_loop()
        url = self.process.edge_url
        return await loop.run_in_executor(
            self.threads, ask, url, "POST", f"/till{target}", body, headers
        )

    async def token(self, name: str, *scopes: str) -> str:
        listed = ",".join(f'"{each}"' for each in scopes)
        body = f'{{"scopes": [{listed}]}}'.encode()
        url = self.process.edge_url
        answer = await asyncio.to_thread(ask, url, "POST", f"/till/logins/{name}", body)
        return str(answer.value)

    async def taken(self) -> int:
        return await self.service.db.one(int, "select count(*) from taken")


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
    flags = {"limits.default_timeout_s": 20, "edge.rate_limit": ""}
    system = System([TillService]).configured(Configuration.load(folder, {}, flags))
    process = Process(system, data_folder=folder / "data", edge_port=free_port())
    await process.start()
    try:
        with ThreadPoolExecutor(STORM) as threads:
            door = Door(process, threads)
            door.ann = await door.token("ann", "refund")
            yield door
    finally:
        await process.stop()


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(tmp_path) as found:
        yield found


async def test_of_a_storm_one_runs_and_all_others_are_told_to_wait(door: Door) -> None:
    door.service.go_on.clear()
    storm = [asyncio.ensure_future(door.post("/payments", "k1")) for _ in range(STORM)]
    refused: list[Answer] = []
    for next_one in asyncio.as_completed(storm):
        refused.append(await next_one)
        if len(refused) == STORM - 1:
            break
    for answer in refused:
        assert (answer.status, answer.value["code"]) == (409, "key-in-use")
        assert 1 <= int(answer.headers["retry-after"]) <= 20
    door.service.go_on.set()
    answers = [answer for answer in await asyncio.gather(*storm) if answer.status != 409]
    assert [(answer.status, answer.value) for answer in answers] == [(201, 1)]
    assert await door.taken() == 1


async def test_a_storm_after_the_answer_gets_the_answer(door: Door) -> None:
    first = await door.post("/payments", "k1")
    storm = await asyncio.gather(*(door.post("/payments", "k1") for _ in range(STORM)))
    assert {(answer.status, answer.body) for answer in storm} == {(201, first.body)}
    assert await door.taken() == 1


async def test_a_storm_of_a_quick_operation_has_one_effect(door: Door) -> None:
    storm = await asyncio.gather(*(door.post("/gifts", f"k{n % 4}") for n in range(STORM)))
    assert {answer.status for answer in storm} <= {201, 409}
    assert await door.taken() == 4
    again = await asyncio.gather(*(door.post("/gifts", f"k{n % 4}") for n in range(STORM)))
    assert {answer.status for answer in again} == {201}
    assert {answer.value for answer in again} == {1, 2, 3, 4}
    assert await door.taken() == 4


async def test_another_request_waits_for_the_first_and_is_then_refused(door: Door) -> None:
    other = b'{"cents": 6}'
    door.service.go_on.clear()
    first = asyncio.ensure_future(door.post("/payments", "k1"))
    await door.service.begun.wait()
    assert (await door.post("/payments", "k1", other)).value["code"] == "key-in-use"
    door.service.go_on.set()
    assert (await first).status == 201
    refused = await door.post("/payments", "k1", other)
    assert (refused.status, refused.value["code"]) == (422, "key-reused")
    assert await door.taken() == 1


async def test_a_key_belongs_to_a_user_and_an_operation(door: Door) -> None:
    bob = await door.token("bob")
    answers = [
        await door.post("/payments", "k1"),
        await door.post("/payments", "k1", token=bob),
        await door.post("/gifts", "k1"),
        await door.post("/payments", "K1"),
        await door.post("/payments", "k1", b'{"cents": 6}', bob),
    ]
    assert [answer.status for answer in answers] == [201, 201, 201, 201, 422]
    assert [answer.value for answer in answers[:4]] == [1, 2, 3, 4]


async def test_nobody_gets_an_answer_who_may_not_ask(door: Door) -> None:
    assert (await door.post("/refunds", "k1")).status == 201
    lesser = await door.token("ann")  # the same user, by a token without the scope
    assert (await door.post("/refunds", "k1", token=lesser)).status == 403
    assert (await door.post("/refunds", "k1", token="x.y.z")).status == 401
    assert (await door.post("/refunds", "k1")).value == 1
    assert await door.taken() == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_failure_is_never_stored(door: Door, when: str) -> None:
    door.service.fails = when
    failed = await door.post("/payments", "k1")
    assert (failed.status, failed.value["code"]) == ((500, "service-failure"))
    door.service.fails = ""
    # Before the answer nothing was done; after it the answer stands, and the failure is not repeated.
    assert (await door.post("/payments", "k1")).status == 201
    assert await door.taken() == 1


async def test_a_problem_that_was_stored_is_told_again(door: Door) -> None:
    door.service.fails = "declined"
    first = await door.post("/payments", "k1")
    door.service.fails = ""
    again = await door.post("/payments", "k1")
    for answer in (first, again):
        assert (answer.status, answer.value["code"]) == (402, "till.Declined")
        assert answer.value["reason"] == "no money"
    assert await door.taken() == 1


async def test_who_leaves_gives_the_key_back(door: Door) -> None:
    door.service.go_on.clear()
    _, _, address = door.process.edge_url.partition("//")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"cents": 5}'
    head = (
        f"POST /till/payments HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {door.ann}\r\n"
        f"Idempotency-Key: k1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await door.service.begun.wait()
    writer.close()
    await writer.wait_closed()
    assert reader.at_eof() or await reader.read() == b""
    door.service.go_on.set()
    async with asyncio.timeout(10):  # its deadline is 20 s away
        answer = await door.post("/payments", "k1")
        while answer.status == 409:
            answer = await door.post("/payments", "k1")
    assert (answer.status, await door.taken()) == (201, 1)


async def test_an_answer_outlives_the_process(tmp_path: Path) -> None:
    async with opened(tmp_path) as door:
        first = await door.post("/payments", '"k 1"')
    async with opened(tmp_path) as door:
        again = await door.post("/payments", '"k 1"')
        assert (again.status, again.body) == (first.status, first.body)
        assert await door.taken() == 1


async def test_without_a_key_every_request_runs(door: Door) -> None:
    assert [(await door.post("/payments", None)).value for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("key", ["k" * 256, '""', "a, b", '"a', '"a";p=1'])
async def test_a_key_that_is_none_is_refused_and_nothing_runs(door: Door, key: str) -> None:
    refused = await door.post("/payments", key)
    assert (refused.status, refused.value["code"]) == (400, "invalid-request")
    assert await door.taken() == 0
