"""The floor: callbacks of uvloop that read nothing and write an answer made in advance.

`python -m benchmarks.peers.raw_server PORT BYTES`: the length of the answer's body.
"""

import asyncio
import sys
from typing import cast

from benchmarks.answering import run
from benchmarks.payload import CENTS


class Ponging(asyncio.Protocol):
    """One write per read."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer whatever it is."""
        self._transport.write(self._answer)


async def main() -> None:
    """Listen until ended."""
    port, size = int(sys.argv[1]), int(sys.argv[2])
    body = (b'{"in_cents":%d}' % CENTS).ljust(size)
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Ponging(answer), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main)
