"""Sends a server mutated raw requests and compares the messages that it sees with two other readers.

An episode is a thousand cases, each on a connection of its own, many at once, some in pieces. The
server tells by digests which requests it took. They must be the first of those that the reference reads
(rigs/raw_reference.py), and where the server takes fewer, it must have refused with a 4xx and closed.
Neither a 5xx, nor a connection that stays silent, nor a server that grows is borne.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from borough.testing import free_port
from rigs.episodes import ROOT, Episode, Fault, Rig
from rigs.raw_mutations import Mutations
from rigs.raw_reference import Reading, read
from rigs.vectors import FILES, vectors_of

CASES = 1_000
AT_ONCE = 96
SILENCE_S = 4.0
"""How long an answer that is due may take before the connection counts as hanging."""
SETTLE_S = 0.02
"""How long one waits for what should not come."""
MOST_GROWTH_KIB = 64 * 1024
READY_S = 20.0
STRICTER = {
    "This method is not known": "a method is one that is known",
    "Expected HTTP/2 Connection Preface": "PRI is no method",
    "CONNECT is not offered": "a server is no proxy",
    "The request target must be a path": "no authority form, no user, no other scheme",
    "Host is not the host of": "a target and a Host that differ",
    "The first line must be": "HTTP/1.1 and HTTP/1.0, and no more than one empty line before",
    "Content-Length must be": "at most 18 digits",
    "Request has invalid `Transfer-Encoding`": "no tab after a coding",
    "The body is above": "limits",
    "The request target is above": "limits",
    "The header fields are above": "limits",
    "The chunked body is broken": "at most 8 digits of a size, at most 1 KiB of a line",
}
"""How a refusal may begin of what the reference would take, and in what the server is stricter there."""
_RESET = struct.pack("ii", 1, 0)
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_SEEN = re.compile(rb"\r\nx-seen: ([0-9a-f]{8})\r\n")


class Exchange:
    """One case, on one connection, and what came back."""

    def __init__(self, number: int, data: bytes, origin: tuple[str, int]) -> None:
        self.number = number
        self.reading = read(data)
        self.seen: list[bytes] = []
        self.refusal: tuple[int, str] | None = None
        self.is_closed = False
        self.is_silent = False
        self._pieces = _pieces(number, data)
        self._buffer = b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.connect(origin)
        self.socket.setblocking(False)
        self.until_s = time.monotonic() + SILENCE_S
        self.send()

    @property
    def has_all(self) -> bool:
        """Whether every answer that the reference expects is here, and the connection need not close."""
        if self._pieces:
            return False
        reading = self.reading
        taken = [message for message in reading.messages if not message.forbidden]
        return (
            len(self.seen) >= len(taken)
            and len(taken) == len(reading.messages)
            and not (reading.is_over)
        )

    def send(self) -> None:
        """Send the next piece."""
        if self._pieces:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.socket.send(self._pieces.pop(0))

    def receive(self) -> None:
        """Take what has come."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.is_closed = True
            return
        self._buffer += data
        while self._take_answer():
            pass

    def _take_answer(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        status = int(head[9:12])
        if status == 100:
            self._buffer = rest
            return True
        length = _LENGTH.search(head + b"\r\n")
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return False
        seen = _SEEN.search(head + b"\r\n")
        if status == 200 and seen:
            self.seen.append(seen[1])
        else:
            self.refusal = status, json.loads(rest[:size])["detail"] if size else ""
        self._buffer = rest[size:]
        return True

    def verdict(self) -> str | None:
        """What is wrong, if something is."""
        if self.is_silent:
            return f"an answer is due and none comes: {len(self.seen)} came"
        if self._buffer:
            return f"an answer broke off: {self._buffer[:80]!r}"
        return judge(self.reading, self.seen, self.refusal, is_closed=self.is_closed)


def judge(
    reading: Reading, seen: Sequence[bytes], refusal: tuple[int, str] | None, *, is_closed: bool
) -> str | None:
    """Compare what the server took with what the reference reads."""
    if refusal is not None and not 400 <= refusal[0] < 500:
        return f"a status {refusal[0]} is none of the client's faults"
    messages = reading.messages
    if len(seen) > len(messages):
        return f"the messages differ: {len(seen)} were taken, the reference reads {len(messages)}"
    for index, (message, took) in enumerate(zip(messages, seen, strict=False)):
        if message.forbidden:
            return f"a forbidden request was taken: {message.forbidden}"
        if took != message.digest:
            return f"the messages differ: number {index} reads otherwise"
    if refusal is not None and not is_closed:
        return "the connection stayed open after a refusal"
    if len(seen) < len(messages):
        if refusal is None:
            return f"no answer to message {len(seen)}"
        is_known = any(refusal[1].startswith(start) for start in STRICTER)
        if not messages[len(seen)].forbidden and not is_known:
            return f"a request was refused that the reference takes: {refusal[1]}"
        return None
    if reading.is_over != is_closed and refusal is None:
        return f"the connection is {'closed' if is_closed else 'open'}, and should not be"
    return None


def _pieces(number: int, data: bytes) -> list[bytes]:
    """A case as it is sent: a third of them cut in two or three."""
    chance = random.Random(~number)
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice((0, 0, 0, 0, 1, 2))))
    edges = [0, *cuts, len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


class Trial:
    """Many cases at once against one server."""

    def __init__(self, port: int) -> None:
        self._origin = "127.0.0.1", port
        self._poll = select.epoll()
        self._open: dict[int, Exchange] = {}
        self._settling: dict[int, float] = {}

    def close(self) -> None:
        """Let go of what is open."""
        for exchange in self._open.values():
            exchange.socket.close()
        self._poll.close()

    def run(self, cases: Iterator[tuple[int, bytes]]) -> Iterator[Exchange]:
        """Send every case; yields each once its end is known."""
        is_more = True
        while is_more or self._open:
            while is_more and len(self._open) < AT_ONCE:
                case = next(cases, None)
                if case is None:
                    is_more = False
                    break
                exchange = Exchange(*case, self._origin)
                self._open[exchange.socket.fileno()] = exchange
                self._poll.register(exchange.socket, select.EPOLLIN)
            for file, _ in self._poll.poll(SETTLE_S / 4):
                self._open[file].receive()
            yield from self._ended()

    def _ended(self) -> list[Exchange]:
        now = time.monotonic()
        ended: list[Exchange] = []
        for file, exchange in list(self._open.items()):
            exchange.send()
            if not exchange.is_closed and exchange.has_all and exchange.refusal is None:
                if now < self._settling.setdefault(file, now + SETTLE_S):
                    continue
            elif not exchange.is_closed:
                self._settling.pop(file, None)
                if now < exchange.until_s:
                    continue
                exchange.is_silent = True
            self._settling.pop(file, None)
            del self._open[file]
            self._poll.unregister(file)
            exchange.socket.close()
            ended.append(exchange)
        return ended


class RawServer:
    """The server's process."""

    def __init__(self, planted: str | None) -> None:
        self.port = free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        command = [sys.executable, "-m", "rigs.raw_server", str(self.port)]
        self._process = subprocess.Popen(
            command + ([planted] if planted else []),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the server did not start: {self.log()}")
        self._first_kib = self.memory_kib()

    def log(self) -> str:
        """What it has written."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def memory_kib(self) -> int:
        """How much of it is in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def wrong(self) -> list[str]:
        """What is wrong with the process itself."""
        if self._process.poll() is not None:
            return [f"the server ended with status {self._process.returncode}: {self.log()}"]
        found: list[str] = []
        grown = self.memory_kib() - self._first_kib
        if grown > MOST_GROWTH_KIB:
            found.append(f"the server has grown by {grown} KiB")
        if "Traceback" in (log := self.log()):
            found.append(f"the server failed inside: {log[-2000:]}")
        return found

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


def mutations() -> Mutations:
    """All vectors, bent."""
    vectors = [vector for file in FILES for vector in vectors_of(file)]
    good = [vector.send for vector in vectors if vector.then == "open" and len(vector.send) < 1_000]
    return Mutations([vector.send for vector in vectors], good)


def run(
    options: argparse.Namespace, seeds: Sequence[int], planted: str | None
) -> Iterator[Episode]:
    """An episode for each seed: its cases are numbered from the seed times a thousand."""
    made = mutations()
    server = RawServer(planted)
    try:
        for seed in seeds:
            trial = Trial(server.port)
            try:
                yield _episode(seed, trial, made, server)
            finally:
                trial.close()
    finally:
        server.stop()


def _episode(seed: int, trial: Trial, made: Mutations, server: RawServer) -> Episode:
    began_s = time.monotonic()
    numbers = range(seed * CASES, (seed + 1) * CASES)
    wrong: list[str] = []
    taken = messages = 0
    refusals: Counter[str] = Counter()
    for exchange in trial.run((number, made.case(number)) for number in numbers):
        sentence = exchange.verdict()
        if sentence is not None:
            wrong.append(
                f"{sentence} (case {exchange.number}: {made.case(exchange.number)[:400]!r})"
            )
        taken += len(exchange.seen)
        messages += len(exchange.reading.messages)
        if exchange.refusal is not None:
            refusals[f"{exchange.refusal[0]} {exchange.refusal[1]}"] += 1
    wrong += server.wrong()
    facts = {
        "cases": CASES,
        "messages": messages,
        "taken": taken,
        "refusals": dict(refusals.most_common()),
        "memory_kib": server.memory_kib() if not wrong else None,
        "seconds": round(time.monotonic() - began_s, 3),
    }
    return Episode(seed, wrong, facts)


RIG = Rig(
    counts="mutations",
    run=run,
    planted={
        "both-lengths": Fault(
            10, "a forbidden request was taken: there is a length beside a coding"
        ),
        "two-lengths": Fault(10, "the messages differ"),
        "loose-chunks": Fault(10, "the messages differ"),
    },
    per_episode=CASES,
)
