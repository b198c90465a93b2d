"""A customer: browses, fills a basket, pays by one of several cards, looks at orders and mails.

Every answer is judged. Whatever a contract does not promise is an error; what a customer may rely
on from then on goes into the ledger before it is counted.
"""

import asyncio
import random
from typing import Any, NoReturn
from urllib.parse import quote

import msgspec

from borough.errors import CallError
from borough.transports.http.client import HttpClient
from shop.demo.journal import Acknowledged, Journal
from shop.demo.tally import Tally

GOOD, DECLINED, POOR = "4242424242424242", "4000000000000002", "4000000000009995"
LATE, SILENT = "4000000000000119", "4000000000000341"
AT_REST = frozenset({"paid", "declined", "cancelled"})
WORDS = ("kettle", "teapot", "saucepan", "lantern", "bench", "rake", "copper", "walnut", "gla")
PASSWORD = "correct horse battery"
SESSION_S = 600.0
REQUEST_S = 15.0
MOST_OPEN = 8
"""Orders that a customer follows at a time; no further card is tried that may leave one open."""


class Unexpected(Exception):
    """An answer that no contract promises. It has been counted."""


class Shop:
    """The edge of the shop, as a customer's machine sees it: measures and judges every answer."""

    def __init__(self, client: HttpClient, origin: tuple[str, int], tally: Tally) -> None:
        self.tally = tally
        self._client = client
        self._origin = origin

    async def ask(
        self,
        method: str,
        path: str,
        *expected: int,
        body: Any = None,
        token: str = "",
        key: str = "",
    ) -> tuple[int, Any]:
        """Status and document of an answer. Raises `Unexpected` for a status not `expected`."""
        headers = [(b"content-type", b"application/json")] if body is not None else []
        if token:
            headers.append((b"authorization", b"Bearer " + token.encode()))
        if key:
            headers.append((b"idempotency-key", key.encode()))
        data = msgspec.json.encode(body) if body is not None else b""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            response = await self._client.send(
                self._origin, method, path, headers, data, began + REQUEST_S, method == "GET"
            )
        except CallError as error:
            self.tally.fail(f"{method} {path}: {error}")
            raise Unexpected from error
        self.tally.latencies.add(loop.time() - began)
        try:
            document = msgspec.json.decode(response.body) if response.body else None
        except msgspec.DecodeError:
            self.refuse(f"{method} {path}: {response.status} without a document")
        if response.status not in expected:
            self.refuse(f"{method} {path}: {response.status} {response.body[:300].decode()}")
        return response.status, document

    def refuse(self, sentence: str) -> NoReturn:
        """Count an answer that no contract promises, and give up what led to it."""
        self.tally.fail(sentence)
        raise Unexpected(sentence)


class Customer:
    """One account and what it does, visit after visit. `run` sets this run's names apart."""

    def __init__(self, shop: Shop, journal: Journal, seed: int, run: str, number: int) -> None:
        self._shop = shop
        self._tally = shop.tally
        self._journal = journal
        self._random = random.Random(f"{seed}/{number}")
        self._name = f"{run}-{number}"
        self._token = ""
        self._session_ends = 0.0
        self._visits = 0
        self._account_id = ""
        self._sold_out: set[str] = set()
        self.unfinished: dict[str, None] = {}
        """Orders that have not come to rest."""

    async def sign_up(self) -> None:
        """Open the account and begin a session."""
        document = {
            "email": f"{self._name}@shop.example",
            "name": f"Customer {self._name}",
            "password": PASSWORD,
        }
        _, account = await self._shop.ask("POST", "/accounts", 201, body=document)
        self._account_id = account["account_id"]
        await self._journal.append(Acknowledged("account", account_id=self._account_id))
        await self._login()

    async def _login(self) -> None:
        document = {"email": f"{self._name}@shop.example", "password": PASSWORD}
        _, session = await self._shop.ask("POST", "/accounts/sessions", 201, body=document)
        self._token = session["token"]
        self._session_ends = asyncio.get_running_loop().time() + SESSION_S

    async def visit(self, may_wait: bool) -> None:
        """Come, look around, and buy. `may_wait` says whether a card may be slow to answer."""
        self._visits += 1
        if asyncio.get_running_loop().time() > self._session_ends:
            await self._login()
        await self.look_after_orders(2)
        chosen = await self._browse()
        for sku in chosen:
            await self._put_in_basket(sku, self._random.choice((1, 1, 1, 2)))
        order_id, state = await self._check_out("a", self._choose_card(may_wait))
        if state == "declined":
            order_id, state = await self._think_again(order_id)
        while self._sold_out:
            await self._put_in_basket(self._sold_out.pop(), 0)
        if state == "paid" and self._random.random() < 0.05:
            await self._cancel(order_id)
        elif self._random.random() < 0.5:
            await self._read_order(order_id)
        if self._random.random() < 0.3:
            await self._read_mails()

    async def look_after_orders(self, most: int) -> None:
        """Ask what became of orders that have not come to rest."""
        for order_id in list(self.unfinished)[:most]:
            state = await self._read_order(order_id)
            if state in AT_REST:
                del self.unfinished[order_id]
                self._count(state)

    async def _browse(self) -> list[str]:
        """Search, look at one or two things, and choose them."""
        query = f"q={quote(self._random.choice(WORDS))}&limit=20"
        _, found = await self._shop.ask("GET", f"/search/items?{query}", 200)
        skus = [item["sku"] for item in found["items"]]
        if not skus:
            self._shop.refuse(f"nothing was found for {query}")
        chosen = self._random.sample(skus, k=min(len(skus), self._random.choice((1, 1, 2))))
        for sku in chosen:
            _, item = await self._shop.ask("GET", f"/search/items/{quote(sku)}", 200)
            if item["sku"] != sku:
                self._shop.refuse(f"asked for item {sku}, got {item['sku']}")
        return chosen

    async def _put_in_basket(self, sku: str, quantity: int) -> None:
        path = f"/orders/basket/{quote(sku)}"
        document = {"quantity": quantity}
        _, basket = await self._shop.ask("PUT", path, 200, body=document, token=self._token)
        found = sum(line["quantity"] for line in basket["lines"] if line["sku"] == sku)
        if found != quantity:
            self._shop.refuse(f"{quantity} of {sku} were put into the basket, {found} are in it")

    async def _think_again(self, order_id: str) -> tuple[str, str]:
        """After a decline: another card, or nothing after all."""
        if self._random.random() < 0.5:
            return await self._check_out("b", GOOD)
        await self._shop.ask("DELETE", "/orders/basket", 204, token=self._token)
        return order_id, "declined"

    def _choose_card(self, may_wait: bool) -> str:
        chance = self._random.random()
        if chance < 0.13:
            return self._random.choice((DECLINED, POOR))
        if may_wait and chance < 0.15 and len(self.unfinished) < MOST_OPEN:
            return self._random.choice((LATE, SILENT))
        return GOOD

    async def _check_out(self, attempt: str, card: str) -> tuple[str, str]:
        """Order what is in the basket; sometimes twice at once, sometimes once more afterwards."""
        key = f"{self._name}-{self._visits}{attempt}"
        how = self._random.random()
        if how < 0.03 and card == GOOD:
            first, second = await asyncio.gather(
                self._send(key, card, may_run=True), self._send(key, card, may_run=True)
            )
            if first is None and second is None:
                self._shop.refuse(f"both of two requests with the key {key} were told to wait")
            answers = [answer for answer in (first, second) if answer is not None]
        else:
            answers = [await self._sent(key, card)]
            if how < 0.13:
                answers.append(await self._sent(key, card))
        order_id, state = answers[0]
        self._tally.orders += 1
        if len(answers) > 1:
            self._tally.repeats += 1
        if any(other != order_id for other, _ in answers):
            self._tally.doubled += 1
        if state in AT_REST:
            self._count(state)
        else:
            self.unfinished[order_id] = None
        return order_id, state

    async def _sent(self, key: str, card: str) -> tuple[str, str]:
        answer = await self._send(key, card, may_run=False)
        assert answer is not None
        return answer

    async def _send(self, key: str, card: str, *, may_run: bool) -> tuple[str, str] | None:
        """One request to check out: order and state, written down. None where the key is in use."""
        status, answer = await self._shop.ask(
            "POST", "/orders", 201, 402, 409, body={"card": card}, token=self._token, key=key
        )
        cents = 0
        match status, answer.get("code"):
            case 201, _:
                state, cents = answer["state"], answer["total_cents"]
                if cents != sum(line["quantity"] * line["price_cents"] for line in answer["lines"]):
                    self._shop.refuse(f"the total of order {answer['order_id']} is not its lines'")
            case 402, "orders.PaymentDeclined" if self.may_be_declined(card):
                state = "declined"
            case 409, "orders.SoldOut":
                state = "cancelled"
                self._sold_out.add(answer["sku"])
            case 409, "key-in-use" if may_run:
                return None
            case _:
                self._shop.refuse(f"a checkout was answered {status} {answer}")
        order_id = answer["order_id"]
        await self._journal.append(
            Acknowledged("checkout", self._account_id, key, order_id, state, cents)
        )
        return order_id, state

    def may_be_declined(self, card: str) -> bool:
        """Whether a decline of this card is right."""
        return card in (DECLINED, POOR)

    def _count(self, state: str) -> None:
        if state == "paid":
            self._tally.paid += 1
        elif state == "declined":
            self._tally.declined += 1
        else:
            self._tally.sold_out += 1

    async def _read_order(self, order_id: str) -> str:
        path = f"/orders/{quote(order_id)}"
        _, order = await self._shop.ask("GET", path, 200, token=self._token)
        if order["order_id"] != order_id:
            self._shop.refuse(f"asked for order {order_id}, got {order['order_id']}")
        state = str(order["state"])
        if state in AT_REST:
            cents = order["total_cents"] if state == "paid" else 0
            await self._journal.append(
                Acknowledged("order", self._account_id, "", order_id, state, cents)
            )
        return state

    async def _cancel(self, order_id: str) -> None:
        path = f"/orders/{quote(order_id)}/cancel"
        await self._journal.append(Acknowledged("cancelling", self._account_id, "", order_id))
        _, order = await self._shop.ask("POST", path, 200, token=self._token)
        state = order["state"]
        if state not in ("refunding", "cancelling", "cancelled"):
            self._shop.refuse(f"order {order_id} was cancelled and is {state}")
        await self._journal.append(Acknowledged("cancelled", self._account_id, "", order_id, state))
        self._tally.cancelled += 1

    async def _read_mails(self) -> None:
        path = "/notifications/mails?limit=5"
        _, mails = await self._shop.ask("GET", path, 200, token=self._token)
        for mail in mails["items"][:1]:
            await self._journal.append(
                Acknowledged(
                    "mail", self._account_id, order_id=mail["about"], mail_id=mail["mail_id"]
                )
            )
