"""Lives of the product that begin with its code imported: each is forked from a process that waits.

To import the code is most of a start, and the same each time. Whatever else a life is, it is as any
other process: its own memory from there on, session, signals, files and end.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

__all__ = ["Forker", "Life"]

IMPORTED = (
    "uvloop",
    "borough.cli.run",
    "borough.gateway.process",
    "borough.runtime.adapters",
    "borough.stores.postgres",
    "borough.stores.sqlite",
    "borough.brokers.embedded",
    "shop.accounts.service",
    "shop.notifications.service",
    "shop.orders.service",
    "shop.payments.service",
    "shop.search.service",
    "rigs.witness.service",
)


class Life:
    """One process that was forked, as `asyncio` shows those that it starts."""

    def __init__(
        self,
        pid: int,
        stdout: tuple[asyncio.StreamReader, asyncio.ReadTransport],
        answers: asyncio.StreamReader,
    ) -> None:
        self.pid = pid
        self.stdout, self._pipe = stdout
        self._ended = asyncio.ensure_future(answers.readline())

    @property
    def returncode(self) -> int | None:
        """Its exit status; below zero the signal that ended it; None while it lives."""
        return int(self._ended.result()) if self._ended.done() else None

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end; returns its exit status."""
        status = int(await asyncio.shield(self._ended))
        self._pipe.close()  # whoever reads what it says comes to an end
        return status


class Forker:
    """The process that waits. One life at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._requests, theirs = socket.socketpair()
        self._answers, writing = os.pipe()
        handed = (theirs.fileno(), writing)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "rigs.forking", *map(str, handed)],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=handed,
        )
        theirs.close()
        os.close(writing)
        self._reading: tuple[asyncio.StreamReader, asyncio.ReadTransport] | None = None

    async def begin(self, words: Sequence[str], errors: IO[Any]) -> Life:
        """Begin a life with what follows Python's `-m`: a module, and its arguments."""
        if self._reading is None:
            self._reading = await _reader(self._answers)
        reading, writing = os.pipe()
        request = json.dumps(list(words)).encode()
        socket.send_fds(self._requests, [request], [writing, errors.fileno()])
        os.close(writing)
        answers = self._reading[0]
        pid = int(await answers.readline())
        return Life(pid, await _reader(reading), answers)

    def close(self) -> None:
        """End it. The life has ended before."""
        self._requests.close()
        self._process.wait()
        if self._reading is not None:
            self._reading[1].close()


async def _reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    return reader, transport


def main(requests: socket.socket, answers: int) -> int:
    """Import everything, then fork a life for each request until there are no more."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    while True:
        request, handed, _, _ = socket.recv_fds(requests, 65_536, 2)
        if not request:
            return 0
        pid = os.fork()
        if pid == 0:
            requests.close()
            os.close(answers)
            os.setsid()
            for number, descriptor in enumerate(handed, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            module, *sys.argv[1:] = json.loads(request)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return 0
        for descriptor in handed:
            os.close(descriptor)
        os.write(answers, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    sys.exit(main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
