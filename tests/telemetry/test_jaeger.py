"""A checkout of the shop is found in Jaeger, sent straight and through an OpenTelemetry Collector."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from borough.testing import start
from shop.accounts.contract import Accounts
from shop.conftest import RunningIssuer, running_issuer
from shop.orders.contract import Orders
from tests.servers.jaeger import Jaeger, collector, jaeger

SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[RunningIssuer]:
    async with running_issuer(tmp_path) as found:
        yield found


async def check_out(issuer: RunningIssuer, port: int) -> str:
    """One order in a shop that sends to that port, and has sent all when it has ended."""
    settings = {**issuer.settings, "telemetry.endpoint": f"http://127.0.0.1:{port}"}
    async with start(SHOP, mode="wire", settings=settings) as shop:
        account = await shop.client(Accounts).sign_up("ada@shop.example", "Ada", "correct horse")
        orders = shop.client(Orders, user=account.account_id, key="one")
        await orders.put_in_basket("KIT-0001", 2)
        order = await orders.checkout("4242424242424242")
        logging.getLogger("shop").warning("%s is paid", order.order_id)
        await shop.quiet()
    return order.order_id


def the_checkout(found: list[Any]) -> None:
    """One trace: calls, statements and events of every service that has to do with an order."""
    (trace,) = found
    names = {each["serviceName"] for each in trace["processes"].values()}
    assert {"orders", "search", "payments", "notifications"} <= names
    spans = trace["spans"]
    operations = {each["operationName"] for each in spans}
    assert {"payments.Payments/charge", "process orders.Orders.OrderPaid"} <= operations
    ids = {each["spanID"] for each in spans}
    assert all(each["spanID"] in ids for span in spans for each in span["references"])
    assert sum(not span["references"] for span in spans) == 1


async def test_jaeger_has_one_trace_of_a_checkout(issuer: RunningIssuer, tmp_path: Path) -> None:
    with jaeger(tmp_path) as found:
        order_id = await check_out(issuer, found.otlp)
        the_checkout(found.traces("orders", **{"app.order_id": order_id}))


async def test_a_collector_takes_traces_metrics_and_log_lines(
    issuer: RunningIssuer, tmp_path: Path
) -> None:
    found: Jaeger
    with jaeger(tmp_path) as found:
        with collector(tmp_path, found) as between:
            order_id = await check_out(issuer, between.otlp)
        the_checkout(found.traces("orders", **{"app.order_id": order_id}))
    said = between.said()
    assert "Name: rpc.server.call.duration" in said
    assert "DataType: ExponentialHistogram" in said
    assert "service.name: Str(payments)" in said
    assert f"Body: Str({order_id} is paid)" in said
