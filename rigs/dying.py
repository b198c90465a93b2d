"""Starts the product so that it dies at one point of its I/O: `python -m rigs.dying PLAN run PATH ...`.

The functions by which the product reaches disk, locks and network are wrapped in this process, before
it is imported; the product knows nothing of it. A point is a function with what it works on ("commit
orders.db"), and counts while the file `flag` of the plan exists. PLAN is JSON. With `record` the
names of all points that are passed are written down; else the process kills itself with SIGKILL
`before`, `half` way through, or `after` the n-th passing of one.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SIDES = ("before", "half", "after")


class Plan(NamedTuple):
    """Where to die, or where to write down what is passed."""

    flag: str
    root: str
    """Files below it are looked at, others are not the product's."""
    record: str = ""
    point: str = ""
    number: int = 1
    side: str = "before"
    fault: str = ""
    """A fault of `rigs.planted`, planted as well."""


class Points:
    """Counts what is passed, and dies where it is told to."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._passed = 0
        self._turn = threading.Lock()
        self._record = -1
        if plan.record:
            self._record = os.open(plan.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def name_of(self, path: str | bytes | os.PathLike[Any]) -> str:
        """What a file is called in the name of a point; nothing for a file that is none of ours.

        Ids in names differ from run to run.
        """
        place = os.path.realpath(os.fsdecode(path))
        if not place.startswith(self.plan.root + os.sep):
            return ""
        part = os.path.basename(place)
        return re.sub(r"[0-9a-f]{8}[0-9a-f-]{8,}|\b\d{4,}\b", "ID", part) or "folder"

    def name_of_descriptor(self, descriptor: int) -> str:
        """The same for an open file."""
        try:
            return self.name_of(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            return ""

    def pass_by(
        self, point: str, do: Callable[[], Any], half: Callable[[], Any] | None = None
    ) -> Any:
        """Do it, unless this is where to die."""
        if not self._is_here(point):
            return do()
        if self.plan.side == "half" and half is not None:
            half()
        if self.plan.side == "after":
            with contextlib.suppress(Exception):  # a refusal of the kernel is an answer, too
                do()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives that")

    def _is_here(self, point: str) -> bool:
        if not os.path.exists(self.plan.flag):
            return False
        with self._turn:
            if self._record >= 0:
                _write(self._record, point.encode() + b"\n")
            if point == self.plan.point:
                self._passed += 1
                return self._passed == self.plan.number
        return False


_write = os.write


def wrap_files(points: Points) -> None:
    """Every call of `os` and `fcntl` that changes a file or a folder."""

    def on_descriptor(name: str) -> None:
        real = getattr(os, name)

        def call(descriptor: int, *rest: Any) -> Any:
            where = points.name_of_descriptor(descriptor)
            if not where:
                return real(descriptor, *rest)

            def half() -> Any:
                if name in ("pwrite", "write"):
                    data = memoryview(rest[0])
                    return real(descriptor, data[: len(data) // 2], *rest[1:])
                return None

            return points.pass_by(f"{name} {where}", lambda: real(descriptor, *rest), half)

        setattr(os, name, call)

    def on_path(name: str) -> None:
        real = getattr(os, name)

        def call(path: Any, *rest: Any, **named: Any) -> Any:
            last = rest[0] if name in ("replace", "rename", "link") and rest else path
            where = points.name_of(last) if isinstance(last, str | bytes | os.PathLike) else ""
            if not where or (name == "open" and not rest[0] & os.O_CREAT):
                return real(path, *rest, **named)
            return points.pass_by(f"{name} {where}", lambda: real(path, *rest, **named))

        setattr(os, name, call)

    for name in ("write", "pwrite", "ftruncate", "fsync", "fdatasync"):
        on_descriptor(name)
    for name in ("open", "mkdir", "link", "rename", "replace", "unlink"):
        on_path(name)
    lock = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        where = points.name_of_descriptor(descriptor)
        how = "unlock" if operation & fcntl.LOCK_UN else "lock"
        points.pass_by(f"{how} {where}", lambda: lock(descriptor, operation))

    setattr(fcntl, "flock", flock)  # noqa: B010


def wrap_issuer(points: Points) -> None:
    """What is asked of the card issuer."""
    real: Any = http.client.HTTPConnection.request

    def request(self: Any, method: str, path: str, *rest: Any, **named: Any) -> Any:
        point = f"ask issuer {method} {path.split('/')[1]}"
        return points.pass_by(point, lambda: real(self, method, path, *rest, **named))

    setattr(http.client.HTTPConnection, "request", request)  # noqa: B010
    answered: Any = http.client.HTTPConnection.getresponse

    def getresponse(self: Any) -> Any:
        return points.pass_by("hear issuer", lambda: answered(self))

    setattr(http.client.HTTPConnection, "getresponse", getresponse)  # noqa: B010


def wrap_databases(points: Points) -> None:
    """The store's own statements: begin, commit, rollback, checkpoint, opening, closing."""
    from borough.stores.sqlite.connection import Connection

    def file_of(connection: Any) -> str:
        return points.name_of(connection.inner.filename)

    control: Any = Connection.control
    checkpoint: Any = Connection.checkpoint
    close: Any = Connection.close
    opened: Any = Connection.__init__

    def controlled(self: Any, text: str) -> Any:
        what = text.split()[0]
        if (
            what == "pragma"
        ):  # sets or tells something of the connection: nothing leaves the process
            return control(self, text)
        return points.pass_by(f"{what} {file_of(self)}", lambda: control(self, text))

    def checkpointed(self: Any, mode: int) -> Any:
        return points.pass_by(f"checkpoint {file_of(self)}", lambda: checkpoint(self, mode))

    def closed(self: Any) -> Any:
        return points.pass_by(f"close {file_of(self)}", lambda: close(self))

    def init(self: Any, path: str, *rest: Any, **named: Any) -> None:
        points.pass_by(
            f"connect {points.name_of(path)}", lambda: opened(self, path, *rest, **named)
        )

    for name, function in (
        ("control", controlled),
        ("checkpoint", checkpointed),
        ("close", closed),
        ("__init__", init),
    ):
        setattr(Connection, name, function)


class _Sending:
    """A server's transport whose writes are points."""

    def __init__(self, transport: Any, points: Points) -> None:
        self._transport = transport
        self._points = points

    def write(self, data: Any) -> None:
        self._points.pass_by("send answer", lambda: self._transport.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def wrap_answers(points: Points) -> None:
    """What the server's listeners send."""
    from borough.transports.http.server_connection import ServerConnection

    made: Any = ServerConnection.connection_made

    def connection_made(self: Any, transport: Any) -> None:
        made(self, _Sending(transport, points))

    setattr(ServerConnection, "connection_made", connection_made)  # noqa: B010


def main(arguments: list[str]) -> int:
    """Wrap, then run the product."""
    plan = Plan(**json.loads(arguments[0]))
    points = Points(plan._replace(root=os.path.realpath(plan.root)))
    wrap_files(points)  # first: modules keep references to what they import
    wrap_issuer(points)
    wrap_databases(points)
    wrap_answers(points)
    if plan.fault:
        from rigs.planted import FAULTS

        FAULTS[plan.fault]()
    from borough.cli import main as product

    return product(arguments[1:])


def read_points(record: Path) -> list[str]:
    """The points that a recorded run has passed, in order."""
    return record.read_text().splitlines() if record.exists() else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
