"""The same operation means the same in the process, over HTTP and by gRPC: answer, problem, refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from borough.contracts.problem import Problem
from borough.errors import CallError
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from tests.calls.booth import ask
from tests.calls.town import Broken, Depot, Thing, town
from tests.transports.grpc.plain import Plain, plain, problem_in

DEPOT = "depot.v1.DepotService"


class Ways:
    """The depot, called by the desk: three times the same."""

    def __init__(self, process: Process, caller: Plain) -> None:
        self.process = process
        self.caller = caller
        self.proof = [
            (name.decode(), value.decode()) for name, value in process.tokens.first_headers("desk")
        ]

    def local(self) -> Any:
        return self.process.host.client(Depot, caller="desk")

    async def http(self, method: str, target: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = self.process.internal_url
        return await asyncio.to_thread(ask, url, method, target, data, dict(self.proof))

    def grpc(self, method: str, **fields: Any) -> Any:
        return self.caller.call(f"{DEPOT}/{method}", metadata=self.proof, **fields)


@pytest.fixture
async def ways(tmp_path: Path) -> AsyncIterator[Ways]:
    flags = {"grpc.internal_port": 0}
    system = town().configured(Configuration.load(tmp_path, {}, flags))
    process = Process(system, data_folder=tmp_path / "data", internal_port=0)
    await process.start()
    assert process.grpc is not None
    try:
        async with plain(process.grpc.addresses[0]) as caller:
            yield Ways(process, caller)
    finally:
        await process.stop()


async def test_an_answer_is_the_same(ways: Ways) -> None:
    local = await ways.local().keep(Thing(name="cup", size=7))
    http = await ways.http("POST", "/depot/things", {"name": "cup", "size": 7})
    by_grpc = await ways.grpc("Keep", thing={"name": "cup", "size": 7})
    assert local == Thing(name="cup", size=7)
    assert http.value == {"name": "cup", "size": 7}
    assert (by_grpc.result.name, by_grpc.result.size) == ("cup", 7)


async def test_parameters_from_everywhere_are_the_same(ways: Ways) -> None:
    local = await ways.local().find("a b", 3, ("x", "y"))
    http = await ways.http("GET", "/depot/things/a%20b?limit=3&tags=x&tags=y")
    by_grpc = await ways.grpc("Find", name="a b", limit=3, tags=["x", "y"])
    assert local == http.value == dict(by_grpc.result)


async def test_the_callee_sees_the_same_caller(ways: Ways) -> None:
    local = await ways.local().seen()
    http = (await ways.http("GET", "/depot/seen")).value
    seen = (await ways.grpc("Seen")).result
    assert (local.operation, local.caller) == (http["operation"], http["caller"])
    assert (
        (local.operation, local.caller)
        == (seen.operation, seen.caller)
        == (
            "depot.Depot.seen",
            "desk",
        )
    )
    assert not seen.HasField("user")


async def test_a_key_that_is_a_fact_of_business_is_one_for_all_ways(ways: Ways) -> None:
    assert await ways.local().once(4, "a") == 1
    assert (await ways.http("POST", "/depot/once", {"number": 4, "note": "a"})).value == 1
    assert (await ways.grpc("Once", number=4, note="a")).result == 1
    assert (await ways.grpc("Once", number=5, note="a")).result == 2


REFUSALS = [
    ("keep", (Thing(name="glass"),), ("POST", "/depot/things", {"name": "glass"}),
     ("Keep", {"thing": {"name": "glass"}}), "depot.Broken", 409, "FAILED_PRECONDITION"),
    ("keep", (Thing(name="a", size=101),), ("POST", "/depot/things", {"name": "a", "size": 101}),
     ("Keep", {"thing": {"name": "a", "size": 101}}), "invalid-request", 400, "INVALID_ARGUMENT"),
    ("fail", ("declared",), ("POST", "/depot/fail/declared"),
     ("Fail", {"how": "declared"}), "depot.Broken", 409, "FAILED_PRECONDITION"),
    ("fail", ("undeclared",), ("POST", "/depot/fail/undeclared"),
     ("Fail", {"how": "undeclared"}), "service-failure", 500, "INTERNAL"),
    ("fail", ("bug",), ("POST", "/depot/fail/bug"),
     ("Fail", {"how": "bug"}), "service-failure", 500, "INTERNAL"),
    ("slow", (), ("GET", "/depot/slow"), ("Slow", {}), "deadline-exceeded", 504,
     "DEADLINE_EXCEEDED"),
    ("find", ("..",), ("GET", "/depot/things/.."), ("Find", {"name": ".."}), None, 400,
     "INVALID_ARGUMENT"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arguments", "http", "by_grpc", "code", "status", "told"), REFUSALS
)
async def test_a_problem_is_the_same(
    ways: Ways,
    name: str,
    arguments: tuple[Any, ...],
    http: tuple[Any, ...],
    by_grpc: tuple[str, dict[str, Any]],
    code: str | None,
    status: int,
    told: str,
) -> None:
    with pytest.raises((Problem, CallError)) as local:
        await getattr(ways.local(), name)(*arguments)
    answer = await ways.http(*http)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ways.grpc(by_grpc[0], **by_grpc[1])
    details = problem_in(caught.value)
    document = json.loads(HttpBody.FromString(details["google.api.HttpBody"].value).data)
    assert caught.value.code().name == told
    assert document["status"] == status
    assert "secret inside" not in str(document)
    if code is None:
        return
    assert (answer.status, answer.value["code"]) == (status, code)
    assert document["code"] == code
    if isinstance(local.value, Broken):
        own = ways.caller.message("depot.v1.Broken").FromString(details["depot.v1.Broken"].value)
        assert own.part == document["part"] == answer.value["part"] == local.value.part
    elif isinstance(local.value, CallError):
        assert local.value.code == code


@pytest.mark.parametrize("more", ["é" * 1_500, "m" * 20_000, "\0" * 20_000])
async def test_a_problem_that_tells_a_long_text_keeps_its_status(ways: Ways, more: str) -> None:
    with pytest.raises(Broken) as local:
        await ways.local().keep(Thing(name="glass" + more))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ways.grpc("Keep", thing={"name": "glass" + more})
    assert local.value == Broken(part="rim" + more)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert str(caught.value.details()).startswith("It is broken. (part='rim")
    assert "google.rpc.ErrorInfo" in problem_in(caught.value)


async def test_without_a_proof_only_public_operations_answer(ways: Ways) -> None:
    found = await ways.caller.call(f"{DEPOT}/Find", name="cup")
    assert found.result["name"] == "cup"
    for metadata in ([], [("borough-service", "desk"), ("borough-proof", "0" * 64)]):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ways.caller.call(f"{DEPOT}/Mood", metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_service_that_declares_no_dependency_is_refused(ways: Ways) -> None:
    proof = [(n.decode(), v.decode()) for n, v in ways.process.tokens.first_headers("depot")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ways.caller.call("desk.v1.DeskService/Ask", metadata=proof)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "depot does not declare desk.Desk" in (caught.value.details() or "")


async def test_a_stream_is_the_same(ways: Ways) -> None:
    local = [item async for item in ways.local().count(3)]
    http = (await ways.http("GET", "/depot/count/3")).body.decode().splitlines()
    by_grpc = [item.result async for item in ways.grpc("Count", until=3)]
    assert local == by_grpc == [json.loads(line)["item"] for line in http[:-1]]
