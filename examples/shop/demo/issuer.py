"""The card issuer: another company, so another process with a ledger of its own.

    python -m shop.demo.issuer --port 8801 --ledger issuer.jsonl

It is a witness, so it stands on nothing but the standard library. It charges a card once per
order: a repeat gets the answer of the first time, also after a restart. Some cards misbehave on
purpose, as the test cards of real issuers do.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from shop.demo.journal import IssuerEntry, Journal, read_journal

REASONS = {"4000000000000002": "card_declined", "4000000000009995": "insufficient_funds"}
"""Cards that are declined. Any other card pays, but for the two that follow."""
LATE = "4000000000000119"
"""Is charged, but the answer comes too late."""
SILENT = "4000000000000341"
"""Is never charged, and there is no answer either."""

LONGEST_BODY = 64 * 1024
Answer = tuple[int, dict[str, Any]]


class Issuer:
    """Charges and refunds, remembered by order. `silence_s` is how late a late answer is."""

    def __init__(self, ledger: Path, silence_s: float = 30.0) -> None:
        self._silence_s = silence_s
        self._first: dict[str, IssuerEntry] = {}
        self._refunds: dict[str, IssuerEntry] = {}
        self._running: dict[tuple[str, bool], asyncio.Future[None]] = {}
        self._closing = asyncio.Event()
        for entry in read_journal(ledger, IssuerEntry):
            self._remembered(entry)[entry.order_id] = entry
        self._journal = Journal(ledger)

    async def charge(self, order_id: str, cents: int, currency: str, card: str) -> Answer:
        """Charge a card, once per order."""
        known = self._first.get(order_id)
        if known is None:
            if card == SILENT:
                await self._keep_silent()
                return 504, {"reason": "no answer"}
            reason = REASONS.get(card, "")
            did = "declined" if reason else "charged"
            charge_id = "" if reason else f"ch_{os.urandom(8).hex()}"
            known = await self._once(IssuerEntry(did, order_id, charge_id, cents, currency, reason))
            if card == LATE:
                await self._keep_silent()
        if known.did == "declined":
            return 402, {"reason": known.reason}
        if (known.cents, known.currency) != (cents, currency):
            return 422, {"reason": "this order was charged with another amount"}
        return 200, {"id": known.charge_id}

    async def refund(self, order_id: str) -> Answer:
        """Give back what was charged for an order, once."""
        charge = self._first.get(order_id)
        if charge is None or charge.did != "charged":
            return 404, {"reason": "there is no charge for this order"}
        await self._once(charge._replace(did="refunded"))
        return 200, {"id": charge.charge_id}

    def find(self, order_id: str) -> Answer:
        """The charge of an order."""
        charge = self._first.get(order_id)
        if charge is None or charge.did != "charged":
            return 404, {"reason": "there is no charge for this order"}
        found = {"id": charge.charge_id, "cents": charge.cents, "currency": charge.currency}
        return 200, found | {"refunded": order_id in self._refunds}

    def hurry(self) -> None:
        """Be silent no longer."""
        self._closing.set()

    async def close(self) -> None:
        """Write down what has been decided."""
        await self._journal.close()

    async def _keep_silent(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._silence_s):
                await self._closing.wait()

    def _remembered(self, entry: IssuerEntry) -> dict[str, IssuerEntry]:
        return self._refunds if entry.did == "refunded" else self._first

    async def _once(self, entry: IssuerEntry) -> IssuerEntry:
        """What was written down first for this order. It is on disk when this returns."""
        remembered = self._remembered(entry)
        key = (entry.order_id, entry.did == "refunded")
        if entry.order_id not in remembered:
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = asyncio.ensure_future(self._write(entry))
                running.add_done_callback(lambda _: self._running.pop(key))
            await asyncio.shield(running)
        return remembered[entry.order_id]

    async def _write(self, entry: IssuerEntry) -> None:
        await self._journal.append(entry)
        self._remembered(entry)[entry.order_id] = entry


class Counter:
    """The issuer's HTTP/1.1 door: keep-alive, bodies with a length, no more."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while request := await _read_request(reader):
                status, body = await self._answer(*request)
                data = json.dumps(body).encode()
                head = f"HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\n"
                writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()
        except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # nothing that could be answered: the connection ends
        finally:
            del self._open[task]
            writer.close()

    async def close(self) -> None:
        """End all connections; who still waits for a late answer waits in vain."""
        self._issuer.hurry()
        for writer in self._open.values():
            writer.close()
        if self._open:
            await asyncio.wait(self._open)

    async def _answer(self, method: str, path: str, body: bytes) -> Answer:
        issuer = self._issuer
        try:
            match method, path.split("/")[1:]:
                case "POST", ["charges"]:
                    return await issuer.charge(**json.loads(body))
                case "POST", ["refunds"]:
                    return await issuer.refund(**json.loads(body))
                case "GET", ["charges", order_id]:
                    return issuer.find(order_id)
                case _:
                    return 404, {"reason": "there is nothing here"}
        except (TypeError, ValueError):
            return 400, {"reason": "the body is not what this operation takes"}


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, bytes] | None:
    """Method, path and body of the next request; None where the client has left."""
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode("ascii").split(" ")
    length = 0
    while (field := await reader.readline()) not in (b"\r\n", b""):
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length > LONGEST_BODY:
        raise ValueError(f"a body of {length} bytes")
    return method, path, await reader.readexactly(length)


async def serve(port: int, ledger: Path, silence_s: float) -> None:
    """Answer until SIGTERM or SIGINT; says `{"ready": PORT}` on standard output."""
    issuer = Issuer(ledger, silence_s)
    counter = Counter(issuer)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(counter.serve, "127.0.0.1", port, backlog=512)
    print(json.dumps({"ready": server.sockets[0].getsockname()[1]}), flush=True)
    await stop.wait()
    server.close()
    await counter.close()
    await issuer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m shop.demo.issuer")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--ledger", type=Path, required=True, help="its append-only file")
    parser.add_argument(
        "--silence", type=float, default=30.0, metavar="SECONDS", help="how late is late"
    )
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(options.port, options.ledger, options.silence))
    except OSError as error:
        print(f"issuer: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
