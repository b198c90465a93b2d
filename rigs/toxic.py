"""A TCP proxy that spoils what passes: the eight ways in which a link goes bad.

Latency with jitter, little bandwidth, a slow close, a black hole, a reset, thin slices, a limit of
bytes, and down. Each direction has its own; a change holds at once, also for connections that are
open. The kinds are those of Shopify's toxiproxy. Chance comes from outside, so that a seed repeats it.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["CLEAN", "ToxicProxy", "Toxics"]

CHUNK = 64 * 1024
_LINGER_NONE = struct.pack("ii", 1, 0)  # closing sends RST


@dataclass(frozen=True)
class Toxics:
    """What happens to one direction; nothing by default."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    """Up to so much more, by chance."""
    bytes_per_s: float = 0.0
    """At most so much, 0 for as much as there is."""
    slow_close_s: float = 0.0
    """An end is passed on that much later."""
    is_black_hole: bool = False
    """What comes is taken and goes nowhere; ends, too."""
    reset_after: int | None = None
    """Both sides see a reset when so many bytes of a connection have passed."""
    slice_bytes: int = 0
    """No more at once, with `slice_pause_s` between; 0 for whatever comes."""
    slice_pause_s: float = 0.0
    limit_bytes: int | None = None
    """Both sides see an end when so many bytes of a connection have passed."""


CLEAN = Toxics()


class ToxicProxy:
    """Listens on a port of its own and passes on to `target` (host, port)."""

    def __init__(self, target: tuple[str, int], chance: random.Random) -> None:
        self._target = target
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self.up = CLEAN
        """From who connects to the target."""
        self.down = CLEAN
        """From the target back."""
        self.port = 0
        self.connections = 0
        """How many have been accepted."""

    async def open(self, port: int = 0) -> None:
        """Begin to listen; nothing where it does."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuse connections and cut those that are open, until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links.values()):
            link.reset()
        if self._links:
            await asyncio.wait(self._links)

    async def close(self) -> None:
        """Go down for good."""
        await self.go_down()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        try:
            there = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        link = self._links[task] = _Link(self, self._chance, (reader, writer), there)
        try:
            await link.run()
        finally:
            del self._links[task]


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Link:
    """One connection and its other half."""

    def __init__(self, proxy: ToxicProxy, chance: random.Random, here: Ends, there: Ends) -> None:
        self._proxy = proxy
        self._chance = chance
        self._here = here
        self._there = there
        self._pumps: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Pass on in both directions until both have ended."""
        self._pumps = [
            asyncio.create_task(self._pump(self._here[0], self._there[1], is_up=True)),
            asyncio.create_task(self._pump(self._there[0], self._here[1], is_up=False)),
        ]
        try:
            await asyncio.wait(self._pumps)
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            self._here[1].close()
            self._there[1].close()

    def reset(self) -> None:
        """Both sides see a reset."""
        self._end(is_reset=True)

    def _end(self, *, is_reset: bool) -> None:
        for _, writer in (self._here, self._there):
            if is_reset:
                _reset(writer)
            else:
                writer.close()
        for pump in self._pumps:
            pump.cancel()

    def _toxics(self, is_up: bool) -> Toxics:
        return self._proxy.up if is_up else self._proxy.down

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool
    ) -> None:
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                toxics = self._toxics(is_up)
                if toxics.is_black_hole:
                    continue
                await asyncio.sleep(toxics.latency_s + toxics.jitter_s * self._chance.random())
                limits = [
                    limit for limit in (toxics.reset_after, toxics.limit_bytes) if limit is not None
                ]
                room = min(limits) - passed if limits else len(data)
                passed += await self._write(writer, data[: max(room, 0)], toxics)
                if room <= len(data) and limits:
                    self._end(is_reset=min(limits) == toxics.reset_after)
                    return
            toxics = self._toxics(is_up)
            while toxics.is_black_hole:  # the end gets lost, too
                await asyncio.sleep(0.05)
                toxics = self._toxics(is_up)
            await asyncio.sleep(toxics.slow_close_s)
            if writer.can_write_eof():
                writer.write_eof()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes, toxics: Toxics) -> int:
        size = toxics.slice_bytes or len(data) or 1
        if toxics.bytes_per_s:
            size = min(size, max(1, int(toxics.bytes_per_s / 20)))
        for start in range(0, len(data), size):
            part = data[start : start + size]
            if start and toxics.slice_pause_s:
                await asyncio.sleep(toxics.slice_pause_s)
            if toxics.bytes_per_s:
                await asyncio.sleep(len(part) / toxics.bytes_per_s)
            writer.write(part)
            await writer.drain()
        return len(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError, ValueError):  # it is closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()
