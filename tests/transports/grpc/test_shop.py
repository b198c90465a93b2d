"""A caller elsewhere: it compiles the protobuf that the shop exports, and orders by it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc.aio
import pytest

from borough.gateway.process import Process
from borough.runtime.system import System
from shop.conftest import running_issuer
from tests.transports.grpc.plain import problem_in

SHOP = Path(__file__).parents[3] / "examples" / "shop"
SERVICES = ("accounts", "orders", "search")


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """What `borough contracts export` and then grpcio-tools make of the shop."""
    folder = tmp_path_factory.mktemp("protos")
    locks = {path: path.read_bytes() for path in SHOP.glob("*/contract.proto.lock")}
    export = [sys.executable, "-m", "borough", "contracts", "export", "--format", "proto"]
    subprocess.run([*export, "--system", str(SHOP), "--out", str(folder)], check=True)
    assert {path: path.read_bytes() for path in locks} == locks, (
        "the shop's locks are not committed"
    )
    made = folder / "made"
    made.mkdir()
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}"]
    compiler += [f"--python_out={made}", f"--grpc_python_out={made}"]
    files = [f"{name}/v1/{name}.proto" for name in SERVICES]
    subprocess.run([*compiler, *files], check=True)
    sys.path.insert(0, str(made))
    names = [f"{name}.v1.{name}_pb2{end}" for name in SERVICES for end in ("", "_grpc")]
    try:
        yield {name.rpartition(".")[2]: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(made))
        for name in [n for n in sys.modules if n.partition(".")[0] in SERVICES]:
            del sys.modules[name]


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with running_issuer(tmp_path) as issuer:
        system = System.load(SHOP, flags={"grpc.port": 0, **issuer.settings})
        process = Process(system, data_folder=tmp_path / "data", edge_port=0, internal_port=0)
        await process.start()
        assert process.grpc is not None
        try:
            async with grpc.aio.insecure_channel(process.grpc.addresses[0]) as found:
                yield found
        finally:
            await process.stop()


async def test_a_customer_orders_by_compiled_stubs(
    stubs: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    accounts, orders, search = (stubs[f"{name}_pb2"] for name in SERVICES)
    signing = stubs["accounts_pb2_grpc"].AccountsServiceStub(channel)
    buying = stubs["orders_pb2_grpc"].OrdersServiceStub(channel)
    finding = stubs["search_pb2_grpc"].SearchServiceStub(channel)

    person = {"email": "ada@example.org", "password": "correct horse battery"}
    await signing.SignUp(accounts.SignUpRequest(**person, name="Ada"))
    session = await signing.Login(accounts.LoginRequest(**person))
    signed = (("authorization", f"Bearer {session.result.token}"),)
    found = await finding.Find(search.FindRequest())
    item = found.result.items[0]
    basket = await buying.PutInBasket(
        orders.PutInBasketRequest(sku=item.sku, quantity=2), metadata=signed
    )
    assert basket.result.lines[0].price_cents * 2 == basket.result.total_cents
    order = await buying.Checkout(
        orders.CheckoutRequest(card="4242424242424242"),
        metadata=(*signed, ("idempotency-key", "once")),
    )
    assert order.result.state == orders.ORDER_STATE_PAID
    assert order.result.placed_at.seconds > 1_700_000_000
    states = [
        step.result.state
        async for step in buying.Follow(
            orders.FollowRequest(order_id=order.result.order_id), metadata=signed
        )
    ]
    assert states == [orders.ORDER_STATE_PAID]


async def test_a_declared_problem_comes_as_its_own_message(
    stubs: dict[str, Any], channel: grpc.aio.Channel
) -> None:
    accounts, orders = stubs["accounts_pb2"], stubs["orders_pb2"]
    signing = stubs["accounts_pb2_grpc"].AccountsServiceStub(channel)
    buying = stubs["orders_pb2_grpc"].OrdersServiceStub(channel)
    person = {"email": "bob@example.org", "password": "correct horse battery"}
    await signing.SignUp(accounts.SignUpRequest(**person, name="Bob"))
    session = await signing.Login(accounts.LoginRequest(**person))
    signed = (("authorization", f"Bearer {session.result.token}"),)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await buying.PutInBasket(
            orders.PutInBasketRequest(sku="NO-0000", quantity=1), metadata=signed
        )
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    details = problem_in(caught.value)
    assert orders.UnknownItem.FromString(details["orders.v1.UnknownItem"].value).sku == "NO-0000"
