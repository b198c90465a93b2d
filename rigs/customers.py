"""Customers whose shop dies under them: they ask again until there is an answer, as real ones do.

What has no answer is asked again with the same key and the same words. Only an answer counts: it is
judged and written down as in the demo.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection
from typing import Any, NoReturn

import msgspec

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from shop.demo.customer import PASSWORD, Customer, Shop, Unexpected
from shop.demo.journal import Acknowledged, Journal
from shop.demo.tally import Tally

ANSWER_S = 8.0
PATIENCE_S = 45.0
"""How long a customer asks a living shop again and again; then something is stuck."""
AGAIN_S = 0.15
HASHES_AT_ONCE = 2
NOTE_PAUSE_S = 0.01
TRY_LATER = frozenset({503, 504})
SETTLE_S = 90.0
"""How long customers may take to their end."""


class PatientShop(Shop):
    """The edge of a shop that may be dead at any moment."""

    timeout_s = 1.0
    """What a request gives the shop. The key of a killed checkout is free again after that time."""

    def __init__(self, client: HttpClient, origin: tuple[str, int], tally: Tally) -> None:
        super().__init__(client, origin, tally)
        self._alive = asyncio.Event()
        self._alive_since = 0.0
        self.checkouts = 0
        """Checkouts that were sent and have no final answer yet."""
        self.tried_again = 0

    def opens(self) -> None:
        """The shop is ready, from now on until it `dies`."""
        self._alive_since = asyncio.get_running_loop().time()
        self._alive.set()

    def dies(self) -> None:
        """The shop is about to be killed."""
        self._alive.clear()

    async def ask(
        self,
        method: str,
        path: str,
        *expected: int,
        body: Any = None,
        token: str = "",
        key: str = "",
    ) -> tuple[int, Any]:
        """Ask until there is an answer. Raises `Unexpected` for one that is not `expected`."""
        headers = [(b"borough-timeout-ms", b"%d" % (self.timeout_s * 1000))]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        if token:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        if key:
            headers.append((b"idempotency-key", key.encode()))
        data = msgspec.json.encode(body) if body is not None else b""
        is_checkout = method == "POST" and path == "/orders"
        self.checkouts += is_checkout
        try:
            status, document = await self._answer(method, path, headers, data)
        finally:
            self.checkouts -= is_checkout
        if status not in expected:
            self.refuse(f"{method} {path}: {status} {str(document)[:300]}")
        return status, document

    async def _answer(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], data: bytes
    ) -> tuple[int, Any]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        why = "nothing"
        while loop.time() - max(began, self._alive_since) < PATIENCE_S:
            try:
                response = await self._client.send(
                    self._origin, method, path, headers, data, loop.time() + ANSWER_S
                )
            except CallError as error:
                why = str(error)
                await self._until_alive()
                continue
            try:
                document: Any = msgspec.json.decode(response.body) if response.body else None
            except msgspec.DecodeError:
                self.refuse(f"{method} {path}: {response.status} without a document")
            if self.is_final(response.status, document):
                return response.status, document
            why = f"{response.status} {document}"
            await asyncio.sleep(AGAIN_S * (0.5 + random.random()))
        self.stuck(f"{method} {path} has no answer after {PATIENCE_S:.0f} s: {why}")

    def is_final(self, status: int, document: Any) -> bool:
        """Whether this is an answer; any other is reason to ask again."""
        is_running = status == 409 and document.get("code") == "key-in-use"
        return status not in TRY_LATER and not is_running

    async def _until_alive(self) -> None:
        """Wait until the shop is said to live again, or a little: it may live without saying so."""
        self.tried_again += 1
        try:
            async with asyncio.timeout(AGAIN_S * (0.5 + random.random())):
                await self._alive.wait()
        except TimeoutError:
            return
        await asyncio.sleep(0.02 * random.random())  # not all at the same moment

    def stuck(self, sentence: str) -> NoReturn:
        """Count what has no end, and give it up."""
        self.refuse(f"stuck: {sentence}")


class PatientCustomer(Customer):
    """A customer who goes on until told to stop, and then follows every order to its rest."""

    async def sign_up(self) -> None:
        """Open the account, or find out that an unanswered request has done so; begin a session."""
        document = {
            "email": f"{self._name}@shop.example",
            "name": f"Customer {self._name}",
            "password": PASSWORD,
        }
        await self._shop.ask("POST", "/accounts", 201, 409, body=document)
        credentials = {"email": document["email"], "password": PASSWORD}
        _, session = await self._shop.ask("POST", "/accounts/sessions", 201, body=credentials)
        self._account_id = session["account_id"]
        await self._journal.append(Acknowledged("account", account_id=self._account_id))
        await self._login()

    def may_be_declined(self, card: str) -> bool:
        """Any card: a shop that died before it asked the issuer finds later that nothing was charged."""
        return True

    async def live(
        self, stopping: asyncio.Event, hashing: asyncio.Semaphore, known: asyncio.Semaphore
    ) -> None:
        """Sign up, visit until `stopping`, then see every order come to rest."""
        async with hashing:
            if stopping.is_set():
                return
            await self.sign_up()
        known.release()
        while not stopping.is_set():
            try:
                await self.visit(may_wait=True)
            except Unexpected:
                await asyncio.sleep(AGAIN_S)  # it is counted; what else there is may go on
        ends = asyncio.get_running_loop().time() + PATIENCE_S
        while self.unfinished:
            if asyncio.get_running_loop().time() > ends:
                for order_id in self.unfinished:
                    self._tally.fail(f"stuck: order {order_id} does not come to rest")
                return
            await asyncio.sleep(AGAIN_S)
            await self.look_after_orders(100)


async def write_notes(shop: Shop, journal: Journal, writer: str, stopping: asyncio.Event) -> None:
    """One note after the other, each kept before the next one is written."""
    number = 0
    while not stopping.is_set():
        number += 1
        note = {"writer": writer, "number": number}
        await shop.ask("POST", "/witness/notes", 201, body=note)
        await journal.append(Acknowledged("note", writer, str(number)))
        await asyncio.sleep(NOTE_PAUSE_S)


async def ended(traffic: Collection[asyncio.Future[Any]], tally: Tally) -> list[str]:
    """Wait until all who were told to stop have done so; returns what is wrong with them."""
    _, left = await asyncio.wait(traffic, timeout=SETTLE_S)
    wrong = [f"stuck: {len(left)} customers have no end after {SETTLE_S:.0f} s"] if left else []
    for task in set(traffic) - left:
        error = task.exception()
        if error is not None and not isinstance(error, Unexpected):
            wrong.append(f"the traffic failed: {error!r}")
    return wrong + tally.sentences
