"""A collector for tests: takes OTLP over HTTP on loopback, reads it with the official classes, and can go away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogsData
from opentelemetry.proto.metrics.v1.metrics_pb2 import MetricsData
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from borough.engines.ports import free_port

_KINDS: dict[str, Any] = {
    "/v1/traces": TracesData,
    "/v1/metrics": MetricsData,
    "/v1/logs": LogsData,
}


class Collector:
    """What it has taken stands in `taken`, by path; `status` and `answer` are what it answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.taken: dict[str, list[Any]] = {path: [] for path in _KINDS}
        self.fields: list[str] = []
        self.asked = 0
        self.status = 200
        self.answer = b""
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Take what comes."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def go_away(self) -> None:
        """As if it had been killed."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                fields = head.lower().split("\r\n")[1:]
                length = next(f for f in fields if f.startswith("content-length:"))
                body = await reader.readexactly(int(length.partition(":")[2]))
                self.asked += 1
                self.fields = fields
                if self.status == 200:
                    self.taken[path].append(_KINDS[path].FromString(body))
                head = f"HTTP/1.1 {self.status} X\r\ncontent-length: {len(self.answer)}\r\n\r\n"
                writer.write(head.encode() + self.answer)
                self._came.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds of what has been taken."""
        async with asyncio.timeout(20):
            while not holds():
                self._came.clear()
                await self._came.wait()

    def spans(self) -> list[Any]:
        """Every span that has come."""
        return [
            span
            for data in self.taken["/v1/traces"]
            for resource in data.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metrics(self) -> dict[str, Any]:
        """The latest of every metric, by service and name."""
        return {
            f"{resource.resource.attributes[0].value.string_value} {metric.name}": metric
            for data in self.taken["/v1/metrics"]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def lines(self) -> list[Any]:
        """Every log line."""
        return [
            record
            for data in self.taken["/v1/logs"]
            for resource in data.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
