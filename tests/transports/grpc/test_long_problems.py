"""A problem with much to say arrives as itself: a caller takes 8 KiB of trailers, and fails by them above that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, final

import grpc
import pytest

from borough import ANYONE, Problem, Service, System, contract, post
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from tests.transports.grpc.plain import Plain, plain, problem_in
from tests.transports.grpc.serving import FLAGS, address, refused


class Missing(Problem, status=409):
    """Something is not there."""

    names: str


@contract("store", version="1.0")
class Store(Protocol):
    @post("/takings", allow=ANYONE, raises=[Missing])
    async def take(self, name: str, count: int) -> int: ...


@final
class StoreService(Service, Store):
    async def take(self, name: str, count: int) -> int:
        raise Missing(names=name * count)


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Plain]:
    configuration = Configuration.load(tmp_path, {}, FLAGS)
    process = Process(
        System([StoreService], configuration=configuration),
        data_folder=tmp_path / "data",
        edge_port=free_port(),
        internal_port=free_port(),
    )
    await process.start()
    # What is above the first of both limits is refused by lot; here always.
    strict = [
        ("grpc.max_metadata_size", 8 * 1024),
        ("grpc.absolute_max_metadata_size", 8 * 1024),
    ]
    async with plain(address(process), options=strict) as found:
        yield found
    await process.stop()


@pytest.mark.parametrize(
    ("name", "count"),
    [("x", 10), ("x", 1000), ("x", 3900), ("x", 20_000), ("й", 1900), ("中", 1300), ("😀", 4000)],
)
async def test_a_long_problem_is_told_by_its_code_and_cut(
    caller: Plain, name: str, count: int
) -> None:
    error = await refused(caller.call("store.v1.StoreService/Take", name=name, count=count))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    said = error.details() or ""
    whole = f"Something is not there. (names={name * count!r})"
    assert said == whole or (said.endswith("...") and whole.startswith(said[:-3]))
    details = problem_in(error)
    assert "google.rpc.ErrorInfo" in details
    assert ("store.v1.Missing" in details) == (len((name * count).encode()) < 4000)
