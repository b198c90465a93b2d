"""Prometheus and Alertmanager as servers of their own on loopback, each in a private folder, ended with the test."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from borough.engines.ports import free_port
from borough.engines.process import ServerProcess
from tests.requirements import require_tool

__all__ = ["Monitor", "alertmanager", "checked", "prometheus"]

_READY_S = 60.0
_ANSWER_S = 10.0


class Monitor:
    """One of the two, where it listens."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its API; blocking."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=_ANSWER_S) as answer:
            body: Any = json.load(answer)
        return body["data"] if isinstance(body, dict) and "data" in body else body

    async def query(self, expression: str) -> list[Any]:
        """What an expression is now: its series."""
        found = await asyncio.to_thread(self.ask, "/api/v1/query", query=expression)
        series: list[Any] = found["result"]
        return series

    def is_ready(self) -> bool:
        """Whether it says so itself."""
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=_ANSWER_S).close()
        except (OSError, urllib.error.URLError):
            return False
        return True


def checked(tool: str, *arguments: str | Path) -> str:
    """What `promtool` or `amtool` says to a file that it finds right; any other fails the test."""
    require_tool(tool, shutil.which(tool) is not None)
    done = subprocess.run(
        [tool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def prometheus(folder: Path, configuration: Path) -> Generator[Monitor]:
    """Prometheus with this configuration, keeping what it scrapes in the folder."""
    require_tool("prometheus", shutil.which("prometheus") is not None)
    monitor = Monitor(free_port())
    arguments = [
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address=127.0.0.1:{monitor.port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with _served("prometheus", arguments, folder, monitor):
        yield monitor


@contextmanager
def alertmanager(folder: Path, configuration: Path) -> Generator[Monitor]:
    """Alertmanager with this configuration, alone."""
    require_tool("prometheus-alertmanager", shutil.which("prometheus-alertmanager") is not None)
    monitor = Monitor(free_port())
    arguments = [
        f"--config.file={configuration}",
        f"--storage.path={folder / 'notified'}",
        f"--web.listen-address=127.0.0.1:{monitor.port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _served("prometheus-alertmanager", arguments, folder, monitor):
        yield monitor


@contextmanager
def _served(name: str, arguments: list[str], folder: Path, monitor: Monitor) -> Generator[None]:
    process = ServerProcess(name, [name, *arguments], folder, stop_s=10.0)
    try:
        process.wait_until(monitor.is_ready, _READY_S)
        yield
    finally:
        process.kill()  # nobody needs what it holds
