"""Behind a proxy, docs/reference/edge.md: the heads are those that proxies have sent, configured as it says."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from borough.gateway.process import Process
from borough.runtime.applications import asgi_service
from borough.runtime.configuration import Configuration
from borough.runtime.options import Options
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.system import System
from tests.docs.pages import DOCS

HEADS = {
    "nginx 1.22": b"GET /legacy HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.6, 192.0.2.9\r\n"
    b"X-Forwarded-Proto: https\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    "HAProxy 2.6": b"GET /legacy HTTP/1.1\r\nhost: shop.example\r\nuser-agent: curl/7.88.1\r\naccept: */*\r\n"
    b"x-forwarded-for: 203.0.113.6\r\nx-forwarded-proto: https\r\nx-forwarded-for: 192.0.2.9\r\n\r\n",
    "Caddy 2.6": b"GET /legacy HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    b"X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-Proto: https\r\n"
    b"Accept-Encoding: gzip\r\n\r\n",
    "Envoy 1.40": b"GET /legacy HTTP/1.1\r\nhost: shop.example\r\nuser-agent: curl/7.88.1\r\naccept: */*\r\n"
    b"x-forwarded-for: 203.0.113.6,192.0.2.9\r\nx-forwarded-proto: https\r\n"
    b"x-envoy-external-address: 192.0.2.9\r\n"
    b"x-request-id: 2efbb5c9-dc07-4a67-9e94-a3100810a6a8\r\n\r\n",
}
"""What each sends for https://shop.example/legacy asked by 192.0.2.9, who says to have come from 203.0.113.6."""


async def telling(scope: Any, receive: Any, send: Any) -> None:
    """Answers who asks, by which scheme, and which host."""
    assert scope["type"] == "http"
    said = json.dumps(
        [scope["client"][0], scope["scheme"], dict(scope["headers"])[b"host"].decode()]
    )
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": said.encode()})


@pytest.mark.parametrize("proxy", HEADS)
async def test_who_asks_and_how_is_read_from_what_each_proxy_sends_and_its_connection_stays(
    tmp_path: Path, proxy: str
) -> None:
    (tmp_path / "borough.toml").write_text('[services.legacy]\nasgi = "x:y"\n')
    facts = ServiceFacts(asgi=f"{__name__}:telling", allow="anyone")
    flags: dict[str, Any] = {"edge.proxies": ["127.0.0.1"]}
    configuration = Configuration.load(tmp_path, {}, flags)
    system = System([asgi_service("legacy", facts, [])], configuration=configuration)
    process = Process(system, data_folder=tmp_path / "data", edge_port=0)
    await process.start()
    try:
        port = int(process.edge_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HEADS[proxy])
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None
            said = json.loads(await reader.readexactly(int(length[1])))
            assert said == ["192.0.2.9", "https", "shop.example"]
        writer.close()
        await writer.wait_closed()
    finally:
        await process.stop()


@pytest.mark.parametrize("language", ["nginx", "haproxy"])
def test_the_times_and_sizes_of_the_page_fit_the_defaults(language: str) -> None:
    page = (DOCS / "reference" / "edge.md").read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert found is not None
    lines = [each.partition("#") for each in found[1].splitlines() if "#" in each]
    of_options = {what.strip(): re.search(r"(\d+)(s|m)?;?\s*$", line) for line, _, what in lines}
    given = {what: int(value[1]) for what, value in of_options.items() if value is not None}
    edge, limits = Options().edge.limits, Options().limits
    assert given["less than edge.limits.keep_alive_s"] < edge.keep_alive_s
    longest_s = max(limits.longest_timeout_s, limits.stream_idle_s)
    assert given["more than limits.longest_timeout_s, limits.stream_idle_s"] > longest_s
    if language == "nginx":
        assert given["edge.limits.body_bytes"] * 1024 * 1024 == edge.body_bytes
