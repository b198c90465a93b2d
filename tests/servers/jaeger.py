"""Jaeger and a Collector, where `make jaeger` has built them, as servers of their own for one test."""

from __future__ import annotations

import json
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borough.engines.ports import free_port
from borough.engines.process import ServerProcess
from tests.docs.pages import DOCS
from tests.requirements import optional_tool

__all__ = ["Collector", "Jaeger", "collector", "jaeger"]

_TOOLS = Path(__file__).parents[2] / ".tools"
_GUIDE = DOCS / "guides" / "observing-with-jaeger.md"
_READY_S = 60.0
_ANSWER_S = 10.0


class Jaeger:
    """Where it takes OTLP, and where it is asked."""

    def __init__(self) -> None:
        self.otlp, self.query, self._grpc = free_port(), free_port(), free_port()

    @property
    def ports(self) -> dict[int, int]:
        """Those of the guide, and those here."""
        return {4318: self.otlp, 16686: self.query, 16685: self._grpc}

    def traces(self, service: str, **tags: str) -> list[Any]:
        """Its traces with a span of the service that has these tags; blocking."""
        asked = urllib.parse.urlencode({"service": service, "tags": json.dumps(tags)})
        url = f"http://127.0.0.1:{self.query}/api/traces?{asked}"
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            found: list[Any] = json.load(answer)["data"]
        return found


class Collector:
    """Where it takes OTLP, and what it has written of what came."""

    def __init__(self, process: ServerProcess, port: int) -> None:
        self._process = process
        self.otlp = port

    def said(self) -> str:
        """All of its log."""
        return self._process.log.read_text(encoding="utf-8")


@contextmanager
def jaeger(folder: Path) -> Generator[Jaeger]:
    """Jaeger by the settings of the guide, on ports of its own."""
    found = Jaeger()
    with _served("jaeger", folder, found.ports) as process:
        process.wait_until(lambda: _accepts(found.otlp) and _accepts(found.query), _READY_S)
        yield found


@contextmanager
def collector(folder: Path, to: Jaeger) -> Generator[Collector]:
    """The Collector by the settings of the guide; its traces go on to Jaeger. Its last words are awaited."""
    port = free_port()
    with _served("collector", folder, {4318: port, 14318: to.otlp}) as process:
        process.wait_until(lambda: _accepts(port), _READY_S)
        yield Collector(process, port)


@contextmanager
def _served(name: str, folder: Path, ports: Mapping[int, int]) -> Generator[ServerProcess]:
    program = _TOOLS / name
    optional_tool("Jaeger and a Collector (make jaeger)", program.exists())
    pattern = rf"```yaml file={name}.yaml\n(.*?)```"
    (text,) = re.findall(pattern, _GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    configuration = folder / f"{name}.yaml"
    configuration.write_text(
        re.sub(r"127\.0\.0\.1:(\d+)", lambda m: f"127.0.0.1:{ports[int(m[1])]}", text)
    )
    process = ServerProcess(name, [program, "--config", configuration], folder)
    try:
        yield process
    finally:
        process.stop()  # it hands on what it has


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _ANSWER_S).close()
    except OSError:
        return False
    return True
