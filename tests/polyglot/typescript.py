"""The TypeScript service of examples/shop-polyglot as a process under test, and events pushed to it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from borough.reliability.webhook import read_keys, signature_fields
from tests.requirements import require_tool

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "polyglot" / "dist" / "main.js"
SOURCES = ROOT / "examples" / "shop-polyglot" / "notifications"
SECRET = "whsec_" + base64.b64encode(b"what only the two of us know").decode()
TRACEPARENT = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
PATIENCE_S = 60.0


def require_typescript() -> None:
    """Leave the calling test out where Node is missing, or the service is not built."""
    require_tool("Node.js", shutil.which("node") is not None)
    require_tool("the TypeScript service (make polyglot)", PROGRAM.is_file())


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request on a connection of its own."""
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_S, context=tls)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, fields, answer.read())
    finally:
        connection.close()


def event(event_id: str, kind: str, data: Any, **more: Any) -> bytes:
    """A CloudEvent as Borough writes it."""
    document = {"specversion": "1.0", "id": event_id, "source": "/shop/x", "type": kind}
    return json.dumps({**document, "traceparent": TRACEPARENT, "data": data, **more}).encode()


def signed(
    event_id: str, body: bytes, *, secret: str = SECRET, at: float | None = None
) -> dict[str, str]:
    """The header fields of a push."""
    seconds = int(time.time() if at is None else at)
    fields = signature_fields(read_keys(secret), event_id, seconds, body)
    found = {name.decode(): value.decode() for name, value in fields}
    return {**found, "content-type": "application/cloudevents+json; charset=utf-8"}


class Notifications:
    """One life of the service. `folder` has its database, its mailbox and the tokens."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.database = folder / "typescript.db"
        self.mailbox = folder / "mailbox"
        self._log = (folder / "typescript.log").open("ab")
        self._process = subprocess.Popen(
            ["node", str(PROGRAM)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={
                **os.environ,
                "PORT": "0",
                "BOROUGH_SYSTEM_DATA": str(folder),
                "NOTIFICATIONS_DATABASE": str(self.database),
                "NOTIFICATIONS_MAILBOX": str(self.mailbox),
                "SHOP_PUSH_SECRET": SECRET,
                **environment,
            },
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.said
        self.port = int(json.loads(line)["ready"])

    @property
    def said(self) -> str:
        """All that it has logged."""
        return (self.folder / "typescript.log").read_text()

    def push(self, event_id: str, kind: str, data: Any, **more: str) -> Answer:
        """Push an event as Borough does; `more` are further header fields."""
        body = event(event_id, kind, data)
        return ask(self.port, "POST", "/events", {**signed(event_id, body), **more}, body)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What its database says."""
        connection = apsw.Connection(str(self.database), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    @property
    def mails(self) -> list[str]:
        """The files in its mailbox."""
        return sorted(path.name for path in (self.mailbox / "new").iterdir())

    def stop(self) -> int:
        """Ask it to stop; returns its status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)

    def close(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
