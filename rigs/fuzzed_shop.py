"""The shop as its own documents are tried against it: a real process, fresh data, customers with orders.

What must stay inside is known here: passwords, card numbers, keys and tokens. They are looked for in
every answer, in the log, and in what the shop has stored.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from borough.testing import free_port
from rigs.episodes import ROOT
from shop.demo.processes import Child

__all__ = ["Customer", "FuzzedShop"]

READY_S = 60.0
REQUEST_S = 30.0
ORDERS = 6
"""How many orders each customer has before the trial begins."""


class Customer:
    """A signed-in customer with orders that have come to rest."""

    def __init__(self, edge: str, number: int, rng: random.Random) -> None:
        self.email = f"fuzz-{number}@shop.example"
        self.password = f"canary-{rng.randbytes(12).hex()}"
        self.cards = [f"5{rng.randrange(10**14, 10**15)}" for _ in range(3)]
        self._edge = edge
        self._session = requests.Session()
        account = {"email": self.email, "name": f"Customer {number}", "password": self.password}
        self.ask("POST", "/accounts", account)
        proof = {"email": self.email, "password": self.password}
        self.token = str(self.ask("POST", "/accounts/sessions", proof)["token"])
        self._session.headers["Authorization"] = f"Bearer {self.token}"
        self.orders: list[str] = []

    def order(self, sku: str) -> None:
        """Buy one of an item."""
        self.put(sku)
        answer = self.ask("POST", "/orders", {"card": self.cards[0]})
        self.orders.append(str(answer["order_id"]))

    def put(self, sku: str) -> None:
        """Put one of an item into the basket."""
        self.ask("PUT", f"/orders/basket/{sku}", {"quantity": 1})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What the shop answers. Raises `requests.HTTPError` where it refuses."""
        answer = self._session.request(method, self._edge + path, json=body, timeout=REQUEST_S)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def status(self, method: str, path: str) -> int:
        """The status of an answer, whichever it is."""
        return self._session.request(method, self._edge + path, timeout=REQUEST_S).status_code

    def close(self) -> None:
        """Release the connection."""
        self._session.close()


class FuzzedShop:
    """Issuer and shop, started at once; `stop` says what they have left behind that they must not."""

    def __init__(self, folder: Path, seed: int, planted: str | None) -> None:
        self._folder = folder
        self._environment = dict(os.environ) | {
            "PYTHONPATH": os.pathsep.join(
                str(path) for path in (ROOT, ROOT / "src", ROOT / "examples")
            )
        }
        self._children: list[Child] = []
        self.data = folder / "data"
        self.customers: list[Customer] = []
        try:
            self.edge = self._start(planted)
            self._fill(random.Random(seed))
        except BaseException:
            self.kill()
            raise

    def _start(self, planted: str | None) -> str:
        issuer = self._child("issuer", "-m", "shop.demo.issuer", "--port", "0",
                             "--ledger", str(self._folder / "issuer.jsonl"))  # fmt: skip
        self._environment |= {
            "BOROUGH_EDGE_PORT": str(free_port()),
            "BOROUGH_EDGE_RATE_LIMIT": "",
            "BOROUGH_DATA_FOLDER": str(self.data),
            "BOROUGH_PAYMENTS_ISSUER_URL": f"http://127.0.0.1:{_first_line(issuer)['ready']}",
            "BOROUGH_NOTIFICATIONS_MAILBOX": str(self._folder / "mailbox"),
        }
        program = ["borough"] if planted is None else ["rigs.planted_answers", planted]
        shop = self._child(
            "shop", "-m", *program, "run", str(ROOT / "examples" / "shop"), "--json", "--verbose"
        )
        return str(_first_line(shop)["edge"])

    def _child(self, name: str, *arguments: str) -> Child:
        child = Child(name, arguments, self._folder / f"{name}.log", self._environment)
        self._children.append(child)
        return child

    def _fill(self, rng: random.Random) -> None:
        self.customers = [Customer(self.edge, number, rng) for number in range(2)]
        found = self.customers[0].ask("GET", "/search/items?limit=100")["items"]
        self.skus = [str(item["sku"]) for item in found if item["stock"] > ORDERS]
        for customer in self.customers:
            for sku in rng.sample(self.skus, ORDERS):
                customer.order(sku)

    def secrets(self) -> dict[str, list[str]]:
        """What must not be shown, by what it is."""
        found: dict[str, list[str]] = {
            "a password": [customer.password for customer in self.customers],
            "a card number": [card for each in self.customers for card in each.cards],
            "a token": [customer.token for customer in self.customers],
            "the key that signs": [
                str(json.loads(path.read_bytes())["d"]) for path in self.data.glob("keys/*.jwk")
            ],
            "the proof of a service": [
                path.read_text().strip() for path in self.data.glob("tokens/*.token")
            ],
        }
        return found

    def stop(self) -> list[str]:
        """Stop both; what is wrong with how they ended, what they logged and what they stored."""
        hidden = self.secrets()
        wrong = []
        for child in reversed(self._children):
            status = child.stop()
            if status != 0:
                wrong.append(f"{child.name} ended with status {status}: {child.last_words()}")
        log = (self._folder / "shop.log").read_bytes()
        if b"Traceback" in log:
            wrong.append(f"the log has a traceback: {_around(log, b'Traceback')}")
        wrong += [f"{what} is in the log" for what in _shown(hidden, [log])]
        stored = {what: hidden[what] for what in ("a password", "a card number", "a token")}
        wrong += [f"{what} is stored" for what in _shown(stored, self._stored())]
        for customer in self.customers:
            customer.close()
        return wrong

    def _stored(self) -> Iterator[bytes]:
        """Every file of the shop: databases with their WAL, event logs, and the mails it has sent."""
        for folder in (self.data, self._folder / "mailbox"):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    yield path.read_bytes()

    def kill(self) -> None:
        """End what still runs, at once."""
        for child in self._children:
            child.kill()


def _shown(hidden: dict[str, list[str]], texts: Iterator[bytes] | Sequence[bytes]) -> list[str]:
    """Which of the hidden things occur."""
    found: dict[str, None] = {}
    for text in texts:
        for what, values in hidden.items():
            if any(value.encode() in text for value in values):
                found[what] = None
    return list(found)


def _around(log: bytes, mark: bytes) -> str:
    start = log.rindex(mark)
    return log[start : start + 2000].decode(errors="replace")


def _first_line(child: Child) -> dict[str, Any]:
    """What a child says when it is ready."""
    waited = 0.0
    while not (lines := child.lines(0.2)):
        child.check()
        waited += 0.2
        if waited > READY_S:
            raise TimeoutError(f"{child.name} is not ready: {child.last_words()}")
    ready: dict[str, Any] = json.loads(lines[0])
    return ready
