"""A crowd of slow and idle clients: `python -m rigs.slow_crowd PORT COUNT SEED`, until its input ends.

Each client has a kind and goes on with it: whoever is sent away comes back. They come from many addresses
of the loopback network. Every second it prints how many are connected, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import uvloop

__all__ = ["KINDS"]

PER_ADDRESS = 200
TICK_S = 0.9
RETURN_S = (0.2, 1.5)
HEAVY_RETURN_S = (4.0, 12.0)
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
SMALL = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /orders/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
SIZE = 1_000_000


class Client:
    """One connection of a slow client."""

    def __init__(self, plug: socket.socket, chance: random.Random) -> None:
        self._plug = plug
        self._loop = asyncio.get_running_loop()
        self.chance = chance

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._plug, data)

    async def drip(self, data: bytes) -> None:
        """Send the same bytes again and again, slowly."""
        while True:
            await self.send(data)
            await self._until_gone(TICK_S)

    async def sip(self) -> None:
        """Read a byte from time to time."""
        while await self._loop.sock_recv(self._plug, 1):  # noqa: ASYNC110 - what is slow must wait
            await asyncio.sleep(TICK_S)

    async def wait(self) -> None:
        """Do nothing until the server goes."""
        while await self._loop.sock_recv(self._plug, 65536):
            pass

    async def _until_gone(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
                raise ConnectionResetError("the server has gone")


async def silent(client: Client) -> None:
    """Connects and says nothing."""
    await client.wait()


async def slow_head(client: Client) -> None:
    """Never ends its head."""
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
    await client.drip(b"X-A: b\r\n")


async def slow_line(client: Client) -> None:
    """Never ends its first line."""
    await client.send(b"GET /")
    await client.drip(b"a")


async def slow_body(client: Client) -> None:
    """Sends a body byte by byte."""
    await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % SIZE)
    await client.drip(b" ")


async def slow_chunks(client: Client) -> None:
    """Sends a chunk of a byte at a time."""
    await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await client.drip(b"1\r\n \r\n")


async def heavy_body(client: Client) -> None:
    """Sends nearly all of a large body at once, then byte by byte."""
    await client.send(HEAD + b"Content-Length: %d\r\n\r\n" % SIZE + b" " * (SIZE - 1000))
    await client.drip(b" ")


async def deaf(client: Client) -> None:
    """Asks for much and reads nothing."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TICK_S):
            await client.send(LARGE * 50)
    await asyncio.sleep(3600)


async def sipping(client: Client) -> None:
    """Asks for much and reads a byte from time to time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TICK_S):
            await client.send(LARGE * 50)
    await client.sip()


async def idle(client: Client) -> None:
    """Asks once, and stays."""
    await client.send(SMALL)
    await client.wait()


KINDS: dict[str, Callable[[Client], Awaitable[None]]] = {
    kind.__name__: kind
    for kind in (
        silent, slow_head, slow_line, slow_body, slow_chunks, heavy_body, deaf, sipping, idle,
    )
}  # fmt: skip
"""What a client may be."""


HEAVY = ("heavy_body", "deaf", "sipping")
"""Of these there are fewer, and they come back less often: a flood is not what is tried here."""


def _kind_of(number: int) -> str:
    if number % 4 == 0:
        return HEAVY[number // 4 % len(HEAVY)]
    light = [name for name in KINDS if name not in HEAVY]
    return light[number % len(light)]


class Crowd:
    """All of them."""

    def __init__(self, port: int, seed: int) -> None:
        self._target = "127.0.0.1", port
        self._seed = seed
        self.connected: Counter[str] = Counter()
        self.came = 0

    async def one(self, number: int) -> None:
        """One client that always comes back."""
        chance = random.Random(self._seed * 1_000_003 + number)
        name = _kind_of(number)
        address = f"127.0.{1 + number // PER_ADDRESS}.1"
        while True:
            plug = socket.socket()
            plug.setblocking(False)
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            plug.bind((address, 0))
            try:
                await asyncio.get_running_loop().sock_connect(plug, self._target)
                self.came += 1
                self.connected[name] += 1
                try:
                    await KINDS[name](Client(plug, chance))
                finally:
                    self.connected[name] -= 1
            except OSError:
                pass
            finally:
                plug.close()
            pause_s = HEAVY_RETURN_S if name in HEAVY else RETURN_S
            await asyncio.sleep(chance.uniform(*pause_s))

    async def tell(self) -> None:
        """Print what is going on."""
        while True:
            await asyncio.sleep(1)
            line = {"connected": self.connected.total(), "came": self.came} | dict(self.connected)
            print(json.dumps(line), flush=True)


async def main(port: int, count: int, seed: int) -> None:
    """Be slow until the input ends."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    crowd = Crowd(port, seed)
    tasks = [asyncio.ensure_future(crowd.one(number)) for number in range(count)]
    tasks.append(asyncio.ensure_future(crowd.tell()))
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:4])))
